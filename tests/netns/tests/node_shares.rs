//! What one peer may take of what all need: connections, and ports towards one destination.
//!
//! Each attack is made once more on a node without the quotas, to show that it would work.

mod node_support;

use std::fs;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use mayfly_netns::Namespace;
use node_support::packets::{Raw, UDP, checked, udp};
use node_support::{Customer, Internet, Node, World, eventually};
use serde_json::Value;

const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
const QUESTIONS: usize = 20;
/// Source ports from which the attacker asks.
const PORTS: std::ops::Range<u16> = 2_000..54_000;
/// Destinations of the attacker, each with a thousand ports.
const DESTINATIONS: u8 = 20;

/// `crates/node/src/firewall/shares.rs`, for a table of 65,536 connections or more.
const OPEN: u32 = 2048;
const BURST: u32 = 1024;
const PER_SECOND: u32 = 64;

struct Scene {
    _world: World,
    node: Node,
    ann: Customer,
    granted: Value,
    bob: Customer,
}

impl Scene {
    /// Two customers, and a resolver that sends questions back.
    fn new() -> Self {
        let world = World::new();
        let node = world.node("node-a", 10);
        // However slow this machine is, an attacker's first port is still taken at its last.
        let long = "sysctl -qw net.netfilter.nf_conntrack_udp_timeout=300";
        node.namespace.run(long);
        let [(ann, granted), (bob, _)] = [("ann", 100), ("bob", 101)].map(|(user, host)| {
            world.accounts.create(user, &[]);
            let mut customer = Customer::new(&world, host);
            let granted = customer.connect(&node, &world.accounts.token(user, false));
            assert!(customer.fetch(Internet::IPV4).unwrap() == Internet::page());
            (customer, granted)
        });
        let resolver = world
            .internet
            .namespace
            .within(|| UdpSocket::bind((RESOLVER, 53)));
        let resolver = resolver.unwrap();
        std::thread::spawn(move || {
            let mut question = [0; 64];
            while let Ok((length, from)) = resolver.recv_from(&mut question) {
                let _ = resolver.send_to(&question[..length], from);
            }
        });
        Self {
            _world: world,
            node,
            ann,
            granted,
            bob,
        }
    }

    /// Takes the quotas away, and with them every other rule about what is forwarded.
    fn without_quotas(&self) {
        self.node
            .namespace
            .run("nft flush chain inet mayfly forward");
        let all = "nft add rule inet mayfly forward accept";
        self.node.namespace.run(all);
    }

    /// A datagram from each of these ports of Ann to each of these addresses.
    fn flood(&self, ports: std::ops::Range<u16>, to: &[Ipv4Addr]) {
        let (source, _) = self.granted["addresses"][0]
            .as_str()
            .unwrap()
            .split_once('/')
            .unwrap();
        let source: IpAddr = source.parse().unwrap();
        self.ann.namespace.within(|| {
            let raw = Raw::new(source);
            for (count, port) in ports.enumerate() {
                for &to in to {
                    let to = IpAddr::V4(to);
                    raw.send(
                        source,
                        to,
                        UDP,
                        &checked(source, to, UDP, &udp(port, 53, b"?")),
                    );
                }
                // As fast as the tunnel takes it, and no faster.
                if count % 64 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        });
    }

    /// How many connections the node tracks.
    fn tracked(&self) -> u32 {
        let path = "/proc/sys/net/netfilter/nf_conntrack_count";
        let text = self
            .node
            .namespace
            .within(|| fs::read_to_string(path))
            .unwrap();
        text.trim().parse().unwrap()
    }
}

/// How many of twenty questions are answered, each from a port of its own.
fn answers(namespace: &Namespace) -> usize {
    let answered = |_: &usize| {
        namespace.within(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            socket
                .set_read_timeout(Some(Duration::from_secs(1)))
                .unwrap();
            let asked = socket.send_to(b"who is it", (RESOLVER, 53));
            asked.is_ok() && socket.recv(&mut [0; 64]).is_ok()
        })
    };
    (0..QUESTIONS).filter(answered).count()
}

/// Goes on until the attack has worked: on a busy machine, many of its packets are lost.
fn attack_until(mut works: impl FnMut() -> bool) {
    assert!((0..10).any(|_| works()), "the attack does not work");
}

#[test]
fn a_peer_with_52000_ports_takes_no_answer_of_a_resolver_from_another() {
    let scene = Scene::new();
    assert_eq!(answers(&scene.bob.namespace), QUESTIONS);
    scene.flood(PORTS, &[RESOLVER]);
    assert_eq!(answers(&scene.bob.namespace), QUESTIONS);

    scene.without_quotas();
    attack_until(|| {
        scene.flood(PORTS, &[RESOLVER]);
        answers(&scene.bob.namespace) < QUESTIONS / 2
    });
}

#[test]
fn a_peer_has_its_share_of_the_connection_table_and_others_have_theirs() {
    let scene = Scene::new();
    let to: Vec<_> = (1..=DESTINATIONS)
        .map(|host| Ipv4Addr::new(203, 0, 113, host))
        .collect();
    let started = std::time::Instant::now();
    scene.flood(10_000..11_000, &to);
    let seconds = started.elapsed().as_secs() as u32 + 1;
    let most = OPEN.min(BURST + PER_SECOND * seconds);
    let tracked = scene.tracked();
    assert!((BURST..most + 64).contains(&tracked), "{tracked} of {most}");
    for _ in 0..QUESTIONS {
        assert!(scene.bob.fetch(Internet::IPV4).unwrap() == Internet::page());
    }

    scene.without_quotas();
    attack_until(|| {
        scene.flood(10_000..11_000, &to);
        scene.tracked() > 5 * OPEN
    });
}

#[test]
fn an_address_leaves_the_quotas_with_its_connections() {
    let scene = Scene::new();
    scene.flood(10_000..10_100, &[RESOLVER]);
    let sets = ["new4", "open4", "pairs4"];
    let elements = || {
        let list = |set| {
            scene
                .node
                .namespace
                .run(&format!("nft list set inet mayfly {set}"))
        };
        let (source, _) = scene.granted["addresses"][0]
            .as_str()
            .unwrap()
            .split_once('/')
            .unwrap();
        sets.map(|set| list(set).contains(source))
    };
    assert_eq!(elements(), [true; 3]);
    let bearer = scene.granted["preshared_key"].as_str().unwrap();
    assert_eq!(scene.node.release(&scene.ann, bearer).status, 204);
    // The janitor has a pass of its own, and the time-out of new4 is half a minute.
    eventually("nothing is left of Ann", Duration::from_secs(40), || {
        (elements() == [false; 3]).then_some(())
    });
}
