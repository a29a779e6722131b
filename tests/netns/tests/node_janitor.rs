//! The kernel's connections of a peer are deleted when the peer goes.

mod node_support;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mayfly_netns::{Namespace, Process};
use node_support::token::{FAR, claims, sign};
use node_support::{Customer, Internet, Node, World, eventually, program};

/// How long the janitor may take.
const SOON: Duration = Duration::from_secs(5);

impl Node {
    /// How many connections of an inner address the node's kernel holds.
    fn connections_of(&self, inner: &str) -> usize {
        let table = format!("/proc/{}/net/nf_conntrack", self.pid());
        let table = fs::read_to_string(table).unwrap();
        let of_inner = |word: &str| {
            let address = word
                .strip_prefix("src=")
                .or_else(|| word.strip_prefix("dst="));
            address.is_some_and(|address| {
                address.parse::<std::net::IpAddr>().ok() == inner.parse().ok()
            })
        };
        let lines = table.lines();
        lines.filter(|line| line.split(' ').any(of_inner)).count()
    }

    /// The process that the daemon started.
    fn janitor(&self) -> u32 {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.trim().parse().unwrap()
    }
}

fn inner(granted: &serde_json::Value) -> Vec<String> {
    let addresses = granted["addresses"].as_array().unwrap();
    let bare = |address: &serde_json::Value| {
        let address = address.as_str().unwrap();
        address.split('/').next().unwrap().to_owned()
    };
    addresses.iter().map(bare).collect()
}

#[test]
fn the_connections_of_a_peer_that_releases_are_forgotten_and_no_others() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let connected = |user: &str, host| {
        world.accounts.create(user, &["--ipv6"]);
        let mut customer = Customer::new(&world, host);
        let granted = customer.connect(&node, &world.accounts.token(user, false));
        customer.fetch(Internet::IPV4).unwrap();
        customer.fetch(Internet::IPV6).unwrap();
        (customer, granted)
    };
    let (ann, granted) = connected("ann", 100);
    let (_bob, of_bob) = connected("bob", 101);
    let (of_ann, of_bob) = (inner(&granted), inner(&of_bob));
    assert_eq!(of_ann.len(), 2);
    for address in of_ann.iter().chain(&of_bob) {
        assert!(node.connections_of(address) > 0, "{address}");
    }

    let bearer = granted["preshared_key"].as_str().unwrap();
    assert_eq!(node.release(&ann, bearer).status, 204);
    eventually("the janitor has been there", SOON, || {
        let left = of_ann.iter().map(|address| node.connections_of(address));
        (left.sum::<usize>() == 0).then_some(())
    });
    for address in &of_bob {
        assert!(node.connections_of(address) > 0, "{address}");
    }
}

#[test]
fn the_janitor_has_two_descriptors_and_one_right() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let janitor = node.janitor();
    let status = fs::read_to_string(format!("/proc/{janitor}/status")).unwrap();
    for line in [
        "Threads:\t1",
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
        "Uid:\t65531\t65531\t65531\t65531",
        // CAP_NET_ADMIN is 12 (linux/capability.h).
        "CapEff:\t0000000000001000",
        "CapPrm:\t0000000000001000",
        "CapInh:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(
            status.lines().any(|found| found == line),
            "{line}: {status}"
        );
    }
    let descriptors = fs::read_dir(format!("/proc/{janitor}/fd")).unwrap();
    let mut held: Vec<_> = descriptors
        .map(|descriptor| fs::read_link(descriptor.unwrap().path()).unwrap())
        .map(|target| {
            target
                .to_str()
                .unwrap()
                .split(':')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    held.sort();
    assert_eq!(
        held,
        ["/dev/null", "/dev/null", "/dev/null", "socket", "socket"]
    );
}

fn signal(pid: u32, signal: &str) {
    let pid = pid.to_string();
    let sent = Command::new("kill").args([signal, &pid]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn an_address_is_given_out_again_only_once_its_connections_are_gone() {
    let world = World::new();
    let node = Node::with_pool(&world, "node-a", 10, "10.64.0.0/30");
    world.accounts.create("ann", &[]);
    world.accounts.create("bob", &[]);
    let mut ann = Customer::new(&world, 100);
    let bob = Customer::new(&world, 101);
    let granted = ann.connect(&node, &world.accounts.token("ann", false));
    ann.fetch(Internet::IPV4).unwrap();
    let address = inner(&granted).remove(0);

    signal(node.janitor(), "-STOP");
    let bearer = granted["preshared_key"].as_str().unwrap();
    assert_eq!(node.release(&ann, bearer).status, 204);
    let token = world.accounts.token("bob", false);
    let refused = node.enrol(&bob, &token, None);
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "addresses-rest")
    );
    assert!(node.connections_of(&address) > 0);
    signal(node.janitor(), "-CONT");
    eventually("the address has rested", SOON, || {
        (node.enrol(&bob, &token, None).status == 200).then_some(())
    });
    assert_eq!(node.connections_of(&address), 0);
}

#[test]
fn the_janitor_does_nothing_for_a_peer_that_had_no_session() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let janitor = node.janitor();
    let before = cpu_time(janitor);
    let customer = Customer::new(&world, 100);
    for ticket in 0..20 {
        let token = sign(&world.accounts.services_key(), &claims(ticket, FAR));
        let granted = node.enrol(&customer, &token, None).json();
        let bearer = granted["preshared_key"].as_str().unwrap();
        assert_eq!(node.release(&customer, bearer).status, 204);
    }
    assert_eq!(cpu_time(janitor), before);
}

/// Ticks (of a hundredth of a second) that a process has had of a processor.
fn cpu_time(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = after_name.split_whitespace().collect();
    // proc(5): utime and stime are the fields 14 and 15, and the name is the second.
    fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum()
}

/// A janitor whose daemon is this test, in a namespace whose kernel knows many connections.
struct Alone {
    process: Process,
    daemon: UnixStream,
    _namespace: Namespace,
}

impl Alone {
    fn new(connections: u32) -> Self {
        let namespace = Namespace::new("janitor");
        let rules = "add table inet t; add chain inet t c { type filter hook output priority 0; }; \
                     add rule inet t c ct state new accept";
        let nft = namespace.command("nft").arg(rules).status();
        assert!(nft.unwrap().success());
        let (daemon, theirs) = UnixStream::pair().unwrap();
        let mut command = namespace.command(program("mayfly-node").to_str().unwrap());
        command
            .args(["--janitor", "3"])
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        let process = Process(command.spawn().unwrap());
        let mut alone = Self {
            process,
            daemon,
            _namespace: namespace,
        };
        alone.daemon.set_read_timeout(Some(SOON * 4)).unwrap();
        alone.daemon.read_exact(&mut [0]).unwrap();
        alone._namespace.within(|| fill(connections));
        alone
    }

    fn pid(&self) -> u32 {
        self.process.0.id()
    }

    fn forget(&mut self, address: Ipv4Addr) {
        let record = address.to_ipv6_mapped().octets();
        self.daemon.write_all(&record).unwrap();
    }

    fn answer(&mut self) -> u16 {
        let mut answer = [0; 2];
        self.daemon.read_exact(&mut answer).unwrap();
        u16::from_le_bytes(answer)
    }
}

/// Makes connections of 127.0.1.1 and the addresses after it, 1,000 each.
fn fill(connections: u32) {
    for host in 0..connections / 1000 {
        let source = Ipv4Addr::from(0x7f00_0101 + host);
        let socket = UdpSocket::bind((source, 0)).unwrap();
        for port in 1000..2000 {
            // A refusal of the packet before.
            let _ = socket.send_to(b"x", (Ipv4Addr::new(127, 0, 0, 2), port));
        }
    }
}

#[test]
fn the_janitor_takes_a_fifth_of_a_processor_at_most_and_answers_for_every_address() {
    let mut janitor = Alone::new(40_000);
    let before = cpu_time(janitor.pid());
    let begun = Instant::now();
    let mut told = 0;
    while begun.elapsed() < Duration::from_secs(10) {
        janitor.forget(Ipv4Addr::new(127, 0, 3, 1));
        told += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let ticks = cpu_time(janitor.pid()) - before;
    let share = ticks as f64 / 100.0 / begun.elapsed().as_secs_f64();
    assert!(share < 0.2, "{share}");
    // It did work: without rests it would have had more.
    assert!(share > 0.01, "{share}");
    let mut answered = 0;
    while answered < told {
        answered += u32::from(janitor.answer());
    }
    assert_eq!(answered, told);
}

#[test]
fn a_daemon_without_its_janitor_ends() {
    let world = World::new();
    let mut node = world.node("node-a", 10);
    let janitor = node.janitor().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-9", &janitor])
        .status();
    assert!(kill.unwrap().success());
    let status = eventually("the daemon ends", SOON, || {
        node.process.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(70));
}
