//! init's DHCP client against a server of another make, over a veth pair.
//!
//! ```text
//! server: dnsmasq ── 192.0.2.1/24 (eth0) ──── (eth0) no address ── client: init's
//! ```

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::Ipv4Addr;
use std::process::{ChildStderr, Stdio};
use std::time::{Duration, Instant};

use mayfly_init::dhcp::Event;
use mayfly_init::lease::Leasing;
use mayfly_netns::{Namespace, Process, veth};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const BUNDLE: &str = "http://192.0.2.1:8080/node.bundle";
/// Longer than anything in this test should take.
const LIMIT: Duration = Duration::from_secs(30);

/// dnsmasq as a DHCP server, and its log.
struct Server {
    _process: Process,
    words: BufReader<ChildStderr>,
}

impl Server {
    /// Starts a server with leases of two minutes, from `first` to `last`, to be renewed after
    /// three seconds. Those are the shortest times that dnsmasq offers.
    fn start(namespace: &Namespace, first: &str, last: &str) -> Self {
        let mut command = namespace.command("dnsmasq");
        command
            .args(["--keep-in-foreground", "--log-facility=-", "--log-dhcp"])
            .args([
                "--conf-file=/dev/null",
                "--pid-file",
                "--user=root",
                "--port=0",
            ])
            .args([
                "--interface=eth0",
                "--leasefile-ro",
                "--dhcp-authoritative",
                "--no-ping",
            ])
            .arg(format!("--dhcp-range={first},{last},255.255.255.0,2m"))
            .arg("--dhcp-option-force=option:T1,3")
            .arg(format!("--dhcp-option-force=224,{BUNDLE}"))
            .stderr(Stdio::piped());
        let mut process = namespace.spawn(command);
        let words = BufReader::new(process.0.stderr.take().unwrap());
        let mut server = Self {
            _process: process,
            words,
        };
        server.hear("DHCP, IP range");
        server
    }

    /// Reads the log until a line contains `what`.
    fn hear(&mut self, what: &str) {
        let mut heard = self.words.by_ref().lines().map(Result::unwrap);
        assert!(heard.any(|line| line.contains(what)), "dnsmasq: no {what}");
    }
}

/// Turns the client until `done` returns true for it and its last event.
fn turn(leasing: &mut Leasing, mut done: impl FnMut(&Leasing, Option<Event>) -> bool) {
    let give_up = Instant::now() + LIMIT;
    loop {
        let event = leasing.turn();
        if done(leasing, event) {
            return;
        }
        assert!(Instant::now() < give_up, "timed out");
        leasing.wait(give_up).unwrap();
    }
}

#[test]
fn init_gets_a_lease_renews_it_and_notices_when_it_is_taken_away() {
    let (server, client) = (Namespace::new("server"), Namespace::new("client"));
    let address = (GATEWAY.into(), 24);
    veth((&server, "eth0", &[address]), (&client, "eth0", &[]));
    client.ip("link set eth0 address 02:00:00:00:00:09");

    let first = Server::start(&server, "192.0.2.100", "192.0.2.110");
    client.within(|| {
        let mut leasing = Leasing::start("eth0", MAC, 7).unwrap();
        let lease = leasing.obtain(LIMIT).unwrap().expect("a lease");
        assert!((100..=110).contains(&lease.address.octets()[3]));
        assert_eq!(lease.prefix, 24);
        assert_eq!(lease.gateway, Some(GATEWAY));
        assert_eq!(lease.bundle.as_deref(), Some(BUNDLE));
        client.ip(&format!("address add {}/24 dev eth0", lease.address));

        // Without an answer, the next request would be a minute away.
        let granted = Instant::now();
        turn(&mut leasing, |leasing, event| {
            assert_eq!(event, None, "a renewed lease is no news");
            let next = leasing.next() - granted;
            next > Duration::from_secs(4) && next < Duration::from_secs(20)
        });

        drop(first);
        let _other = Server::start(&server, "192.0.2.200", "192.0.2.210");
        turn(&mut leasing, |_, event| event == Some(Event::Lost));
    });
}
