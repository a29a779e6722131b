//! What someone learns from the link between a node and the account service, or from the node's
//! memory about what went over that link (rule 8 of `crates/counter/PROTOCOL.md`). The real daemon
//! and the real account service.

mod node_support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use node_support::tap::{Record, TAPPED, Tap, Way};
use node_support::{Customer, Internet, Node, World};

/// Bytes of a record with a message: the message, the headers of WebSocket (RFC 6455 section 5.2,
/// with a mask from the node only), the content type, and the tag of the cipher.
const RECORD: [(Way, usize); 2] = [
    (Way::ToService, 1024 + 4 + 4 + 1 + 16),
    (Way::ToNode, 1024 + 4 + 1 + 16),
];
/// Bytes of a record that changes keys (RFC 8446 section 4.6.3).
const NEW_KEYS: usize = 5 + 1 + 16;

/// How late a busy machine may be. Less than half a second, so that each record has its own second.
const SLACK: Duration = Duration::from_millis(400);

/// Checks that each way has one record of one length in each second, and besides it only records
/// that change keys, sent together with one of the others. A second in which the machine stood still
/// may have none. Returns how many records changed keys, of each way.
fn assert_even(records: &[Record]) -> [usize; 2] {
    RECORD.map(|(way, length)| {
        let ours: Vec<_> = records.iter().filter(|record| record.way == way).collect();
        let (messages, others): (Vec<&Record>, Vec<&Record>) =
            ours.iter().partition(|record| record.length == length);
        let first = messages[0].at;
        let seconds: BTreeSet<u64> = messages
            .iter()
            .map(|message| {
                let after = message.at.duration_since(first).as_secs_f64();
                let off = (after - after.round()).abs();
                assert!(off < SLACK.as_secs_f64(), "{way:?}: after {after} s");
                after.round() as u64
            })
            .collect();
        assert_eq!(seconds.len(), messages.len(), "{way:?}: two in a second");
        let all = seconds.last().unwrap() + 1;
        assert!(
            seconds.len() as u64 >= all * 95 / 100,
            "{way:?}: {seconds:?}"
        );
        for other in &others {
            assert_eq!(other.length, NEW_KEYS, "{way:?}");
            let with =
                |message: &&Record| message.at + SLACK > other.at && message.at < other.at + SLACK;
            assert!(messages.iter().any(with), "{way:?}: keys by themselves");
        }
        others.len()
    })
}

#[test]
fn records_are_equal_and_come_at_equal_times_whoever_comes_and_goes() {
    let world = World::new();
    let tap = Tap::start(&world.wire);
    let secret = world.accounts.admit("node-a");
    let node = Node::start_at(&world, "node-a", 10, &secret, TAPPED);
    node.wait_for("ok");
    world.accounts.create("ann", &[]);

    let from = Instant::now();
    sleep(Duration::from_secs(40));
    let idle = tap.latest_since(from);
    assert!(idle.len() >= 2 * 37, "{} records", idle.len());
    assert_even(&idle);

    // Some come, and some of these go: granted, denied and taken back.
    let mut customers = Vec::new();
    for host in 100..105 {
        let mut customer = Customer::new(&world, host);
        let granted = customer.connect(&node, &world.accounts.token("ann", true));
        customer.fetch(Internet::IPV4).unwrap();
        customers.push((customer, granted));
    }
    world.devices_become("ann", 4);
    for (customer, granted) in &customers[..3] {
        let psk = granted["preshared_key"].as_str().unwrap();
        assert_eq!(node.release(customer, psk).status, 204);
    }
    // The fifth is asked for again, and granted.
    world.devices_become("ann", 2);
    while from.elapsed() < Duration::from_secs(80) {
        sleep(Duration::from_secs(1));
    }
    // Each end asks for new keys once a minute, and each answers the other.
    let changes = assert_even(&tap.latest_since(from));
    assert!(changes.iter().all(|&changes| changes >= 2), "{changes:?}");
}

/// The ticket of a token, as it stands in a report.
fn ticket(token: &str) -> String {
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["ticket"].as_str().unwrap().to_owned()
}

/// Each byte with the one four places behind it. A WebSocket's mask, which repeats after four
/// bytes, does not change this.
fn unmasked(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().zip(&bytes[4..]).map(|(a, b)| a ^ b).collect()
}

/// How often a process has `needle` in memory that it can write to, under any mask or none.
fn finds(pid: u32, needle: &str) -> usize {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let needle = unmasked(needle.as_bytes());
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut found = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (begin, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [begin, end] = [begin, end].map(|at| u64::from_str_radix(at, 16).unwrap());
        let mut bytes = vec![0; (end - begin) as usize];
        // What the kernel keeps for itself cannot be read.
        if memory.read_exact_at(&mut bytes, begin).is_ok() && bytes.len() > needle.len() {
            let plain = unmasked(&bytes);
            let windows = plain.windows(needle.len());
            found += windows.filter(|window| *window == needle).count();
        }
    }
    found
}

#[test]
fn nothing_of_a_ticket_stays_behind_a_mask_once_its_last_report_has_been_sent() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    let token = world.accounts.token("ann", false);
    let granted = customer.connect(&node, &token);
    customer.fetch(Internet::IPV4).unwrap();
    world.devices_become("ann", 1);
    let psk = granted["preshared_key"].as_str().unwrap();
    assert_eq!(node.release(&customer, psk).status, 204);
    world.devices_become("ann", 0);
    // The next message, a second later, overwrites the last one with a ticket.
    sleep(Duration::from_secs(3));
    assert_eq!(finds(node.pid(), &ticket(&token)), 0);
}

#[test]
fn a_ticket_behind_a_mask_is_found() {
    let needle = "a ticket that is long enough not to be anywhere by chance";
    let mask = [0x17, 0x2a, 0x99, 0xe4];
    let masked: Vec<u8> = needle
        .bytes()
        .zip(mask.into_iter().cycle())
        .map(|(byte, mask)| byte ^ mask)
        .collect();
    // Only the copy behind the mask is in memory that this process can write to.
    let found = finds(std::process::id(), needle);
    assert!(found >= 1, "{found}");
    assert_eq!(unmasked(&masked), unmasked(needle.as_bytes()));
}
