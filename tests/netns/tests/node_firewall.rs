//! The firewall, proved with packets: from inside, from outside, and between peers.
//!
//! The node has two addresses. WireGuard's endpoint is the first; customers leave by the second. A
//! packet that must not arrive is followed by one that does, so that no test waits for nothing.

mod node_support;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use mayfly_netns::{Namespace, veth};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, connect, recv,
    send as send_to, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};
use node_support::packets::{
    ACK, FIN, ICMP, ICMPV6, Packet, RST, SYN, TCP, UDP, Watch, echo, send, tcp, udp,
};
use node_support::{Customer, Node, PATIENCE, World, eventually};

const INTERNET: [&str; 2] = ["198.51.100.80", "2001:db8:80::80"];
const EGRESS: [&str; 2] = ["192.0.2.12", "2001:db8::12"];
const ENDPOINT: [&str; 2] = ["192.0.2.10", "2001:db8::10"];
/// The node's own inner addresses.
const GATEWAY: [&str; 2] = ["10.64.0.1", "fd00:64::1"];
/// A host on the link with the node, which also has the account service and boots nodes.
const NEIGHBOUR: [&str; 2] = ["192.0.2.1", "2001:db8::1"];
const LAST: &str = "the last packet of the test";

struct Scene {
    world: World,
    _node: Node,
    ann: Customer,
    /// Her inner addresses.
    inner: [IpAddr; 2],
}

impl Scene {
    fn new() -> Self {
        let addresses = "addresses = [\"192.0.2.12/24\", \"2001:db8::12/64\"]";
        Self::with_uplink(addresses)
    }

    fn with_uplink(addresses: &str) -> Self {
        let world = World::new();
        let secret = world.accounts.admit("node-a");
        let node = Node::start_edited(&world, "node-a", 10, &secret, |text| {
            text.replacen("[wireguard]", &format!("{addresses}\n[wireguard]"), 1)
        });
        node.wait_for("ok");
        // Every refusal is told, however fast they come.
        node.namespace
            .run("sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0");
        eventually("the node's addresses serve", PATIENCE, || {
            let tentative = node.namespace.run("ip -6 address show tentative");
            tentative.is_empty().then_some(())
        });
        world.accounts.create("ann", &["--ipv6"]);
        let mut ann = Customer::new(&world, 100);
        let granted = ann.connect(&node, &world.accounts.token("ann", false));
        let inner = [0, 1].map(|family| {
            let prefix = granted["addresses"][family].as_str().unwrap();
            let (address, _) = prefix.split_once('/').unwrap();
            address.parse().unwrap()
        });
        // What has an inner source takes the tunnel, even to the endpoint.
        let tunnel = ann.interface();
        for (family, source) in ["-4", "-6"].into_iter().zip(inner) {
            ann.namespace
                .ip(&format!("{family} rule add from {source} table 100"));
            ann.namespace.ip(&format!(
                "{family} route add default dev {tunnel} table 100"
            ));
        }
        Self {
            world,
            _node: node,
            ann,
            inner,
        }
    }

    /// Sends a packet from inside the tunnel.
    fn ann_sends(&self, to: &str, protocol: u8, body: &[u8]) {
        let to: IpAddr = to.parse().unwrap();
        let source = self.inner[usize::from(to.is_ipv6())];
        send(&self.ann.namespace, source, to, protocol, body);
    }

    /// Asks a port, through the tunnel, and returns the error.
    fn ask(&self, kind: SockType, to: &str, port: u16) -> Result<(), Errno> {
        let to: IpAddr = to.parse().unwrap();
        let source = self.inner[usize::from(to.is_ipv6())];
        let ask = || ask(kind, source, SocketAddr::new(to, port));
        self.ann.namespace.within(ask)
    }

    /// What `watch` has seen, up to a datagram that Ann sends to the internet now.
    fn seen_by(&self, watch: &Watch) -> Vec<Packet> {
        self.ann_sends(INTERNET[0], UDP, &udp(7000, 7000, LAST.as_bytes()));
        watch.until(|packet| packet.has(LAST) && packet.destination == ip(INTERNET[0]))
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What a sender's system makes of "administratively prohibited", in each family.
const PROHIBITED: [Errno; 2] = [Errno::EHOSTUNREACH, Errno::EACCES];

/// Connects, or sends a datagram and waits for an answer.
fn ask(kind: SockType, source: IpAddr, to: SocketAddr) -> Result<(), Errno> {
    let family = match source {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = TimeVal::seconds(5);
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience)?;
    bind(
        socket.as_raw_fd(),
        &SockaddrStorage::from(SocketAddr::new(source, 0)),
    )?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    if kind == SockType::Datagram {
        send_to(socket.as_raw_fd(), b"hello", MsgFlags::empty())?;
        recv(socket.as_raw_fd(), &mut [0; 64], MsgFlags::empty())?;
    }
    Ok(())
}

#[test]
fn no_inner_address_leaves_by_the_uplink_whatever_a_peer_sends() {
    let scene = Scene::new();
    let watch = Watch::new(&scene.world.wire);
    for to in INTERNET {
        // Segments of no connection: a phone that wakes sends such ones.
        for flags in [RST, FIN | ACK, ACK, SYN | ACK, 0, 0xff] {
            scene.ann_sends(to, TCP, &tcp(40_000, 80, flags));
        }
        scene.ann_sends(to, UDP, &udp(40_000, 9, b"untracked"));
    }
    // A wrong checksum, an error about nothing, kinds that are never tracked, and no protocol.
    scene.ann_sends(INTERNET[0], 99, &[0; 40]);
    scene.ann_sends(
        INTERNET[0],
        ICMP,
        &[[3, 1, 0, 0, 0, 0, 0, 0].as_slice(), &[0x45; 28]].concat(),
    );
    for kind in [1, 2, 130, 133, 135, 136, 137, 143] {
        let message = [[kind, 0, 0, 0, 0, 0, 5, 0].as_slice(), &[0x60; 48]].concat();
        scene.ann_sends(INTERNET[1], ICMPV6, &message);
    }
    for packet in scene.seen_by(&watch) {
        assert!(!is_inner(packet.source), "{packet:?}");
    }
}

fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[..2] == [10, 64],
        IpAddr::V6(address) => address.segments()[..2] == [0xfd00, 0x64],
    }
}

#[test]
fn what_customers_send_leaves_by_the_egress_address_with_customers_ports() {
    leaves_by(&Scene::new(), EGRESS);
}

#[test]
fn where_there_is_no_egress_address_customers_have_their_ports_at_the_endpoints() {
    leaves_by(&Scene::with_uplink(""), ENDPOINT);
}

fn leaves_by(scene: &Scene, egress: [&str; 2]) {
    let watch = Watch::new(&scene.world.wire);
    // Ports of the node's listeners, of its own connections, and of nobody.
    const PORTS: [u16; 7] = [443, 1024, 2000, 4095, 9180, 40_000, 51_820];
    for to in INTERNET {
        for port in PORTS {
            scene.ann_sends(to, UDP, &udp(port, 9, b"customers"));
            scene.ann_sends(to, TCP, &tcp(port, 9, SYN));
        }
    }
    let seen = scene.seen_by(&watch);
    let sent = |packet: &&Packet| {
        INTERNET.contains(&packet.destination.to_string().as_str())
            && [TCP, UDP].contains(&packet.protocol)
            && packet.ports().1 == 9
    };
    let mut count = 0;
    for packet in seen.iter().filter(sent) {
        let family = usize::from(packet.source.is_ipv6());
        assert_eq!(packet.source, ip(egress[family]));
        let (port, _) = packet.ports();
        assert!((9_181..51_820).contains(&port), "{port}");
        count += 1;
    }
    // Each is seen as it comes to the wire and as it leaves it.
    assert!(count >= 2 * PORTS.len() * 2, "{count}");
}

#[test]
fn an_error_about_a_customers_packet_names_the_egress_address_and_no_inner_one() {
    let scene = Scene::new();
    let watch = Watch::new(&scene.world.wire);
    // Answers of 1,500 bytes do not fit the tunnel.
    scene.ann_sends(INTERNET[1], ICMPV6, &echo(ICMPV6, &[7; 1372]));
    scene
        .ann
        .namespace
        .attempt("ping -6 -c 1 -W 5 -s 1452 -M dont 2001:db8:80::80");
    let too_big = |packet: &&Packet| packet.protocol == ICMPV6 && packet.ports() == (2, 0);
    let seen = scene.seen_by(&watch);
    let errors: Vec<_> = seen.iter().filter(too_big).collect();
    assert!(!errors.is_empty(), "no answer was too big");
    for error in errors {
        assert_eq!(error.source, ip(EGRESS[1]));
        // The packet that it quotes was for the egress address.
        let quoted: [u8; 16] = error.body[8 + 24..8 + 40].try_into().unwrap();
        assert_eq!(IpAddr::from(quoted), ip(EGRESS[1]));
    }
}

/// A Linux router keeps what it learns of a path for ten minutes, and uses it for what it forwards.
#[test]
fn a_reply_too_large_for_the_tunnel_narrows_nobody_elses_way_to_the_node() {
    assert_eq!(full_size_pings(&Scene::new()), PINGS);
    // On a node that has one address, customers leave by the endpoint's, and it does.
    assert_eq!(full_size_pings(&Scene::with_uplink("")), 0);
}

const PINGS: usize = 20;

/// How many full-size pings from behind the router reach the endpoint, after Ann has had the router
/// itself answer with packets that are too large for her tunnel.
fn full_size_pings(scene: &Scene) -> usize {
    let far = Namespace::new("far");
    let [router, host] = ["2001:db8:77::1", "2001:db8:77::2"].map(ip);
    veth(
        (&scene.world.wire, "far", &[(router, 64)]),
        (&far, "eth0", &[(host, 64)]),
    );
    far.ip("route add default via 2001:db8:77::1");
    let watch = Watch::new(&scene.world.wire);
    let large = format!("ping -6 -I {} -c 3 -s 1452 2001:db8:77::1", scene.inner[1]);
    scene.ann.namespace.attempt(&large);
    watch.until(|packet| packet.protocol == ICMPV6 && packet.ports() == (2, 0));
    let ping = "ping -6 -c 1 -W 1 -M do -s 1452 2001:db8::10";
    let answered = |_: &usize| far.attempt(ping).status.success();
    (0..PINGS).filter(answered).count()
}

#[test]
fn a_peer_reaches_enrolment_and_pings_and_no_other_port_of_the_node() {
    let scene = Scene::new();
    for address in [GATEWAY, EGRESS, ENDPOINT].concat() {
        assert_eq!(
            scene.ask(SockType::Stream, address, 443),
            Ok(()),
            "{address}"
        );
        for port in [22, 80, 9180, 51_820] {
            let refused = scene.ask(SockType::Stream, address, port).unwrap_err();
            assert!(PROHIBITED.contains(&refused), "{address} {port} {refused}");
        }
        for port in [53, 68, 443, 9180, 51_820] {
            let refused = scene.ask(SockType::Datagram, address, port).unwrap_err();
            assert!(PROHIBITED.contains(&refused), "{address} {port} {refused}");
        }
        let source = scene.inner[usize::from(ip(address).is_ipv6())];
        let ping = format!("ping -c 1 -W 5 -I {source} {address}");
        scene.ann.namespace.run(&ping);
    }
}

#[test]
fn a_peer_reaches_nothing_on_the_link_with_the_node_but_the_account_service() {
    let scene = Scene::new();
    let boot = || std::net::TcpListener::bind("[::]:8080").unwrap();
    let _boot = scene.world.wire.within(boot);
    let _stranger = Customer::new(&scene.world, 101);
    assert_eq!(scene.ask(SockType::Stream, NEIGHBOUR[0], 8443), Ok(()));
    for (closed, port) in [
        (NEIGHBOUR[0], 8080),
        (NEIGHBOUR[1], 8080),
        ("192.0.2.101", 22),
        ("2001:db8::101", 22),
    ] {
        for kind in [SockType::Stream, SockType::Datagram] {
            let refused = scene.ask(kind, closed, port).unwrap_err();
            assert!(PROHIBITED.contains(&refused), "{closed} {refused}");
        }
    }
}

#[test]
fn a_peer_is_told_that_what_is_not_the_internet_is_prohibited() {
    let scene = Scene::new();
    let closed = [
        "10.0.0.1",
        "100.64.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "240.0.0.1",
        "fd00::1",
        "fec0::1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "::ffff:0:a00:1",
        "100::1",
        "2001::1",
        "2001:20::1",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "4000::1",
    ];
    for address in closed {
        let refused = scene.ask(SockType::Datagram, address, 9).unwrap_err();
        assert!(PROHIBITED.contains(&refused), "{address} {refused}");
    }
    for internet in INTERNET {
        let refused = scene.ask(SockType::Stream, internet, 25).unwrap_err();
        assert!(PROHIBITED.contains(&refused), "{internet} {refused}");
    }
}

#[test]
fn health_is_told_to_named_monitors_only() {
    let scene = Scene::new();
    let ask = |namespace: &Namespace| {
        let to = "192.0.2.10:9180".parse().unwrap();
        namespace.within(|| TcpStream::connect_timeout(&to, Duration::from_secs(2)).map(drop))
    };
    ask(&scene.world.wire).unwrap();
    let stranger = Customer::new(&scene.world, 101);
    for namespace in [&stranger.namespace, &scene.world.internet.namespace] {
        assert_eq!(ask(namespace).unwrap_err().kind(), ErrorKind::TimedOut);
    }
}

/// Mixon-Baca et al., PETS 2024: a peer whose connection has the reply tuple of someone else's
/// gets that one's packets.
#[test]
fn no_peer_gets_a_packet_that_was_for_a_port_of_the_node() {
    let scene = Scene::new();
    let watch = Watch::new(&scene.ann.namespace);
    let internet = &scene.world.internet.namespace;
    const SHADOWED: [(u8, u16); 3] = [(TCP, 9180), (TCP, 443), (UDP, 51_820)];
    for (protocol, port) in SHADOWED {
        let body = match protocol {
            TCP => tcp(port, 40_000, SYN),
            _ => udp(port, 40_000, b"the shadow"),
        };
        scene.ann_sends(INTERNET[0], protocol, &body);
    }
    // They have arrived when a later one has.
    let wire = Watch::new(&scene.world.wire);
    scene.seen_by(&wire);
    for (protocol, port) in SHADOWED {
        for address in [ENDPOINT[0], EGRESS[0]] {
            let body = match protocol {
                TCP => tcp(40_000, port, SYN),
                _ => udp(40_000, port, b"not for the peer"),
            };
            send(internet, ip(INTERNET[0]), ip(address), protocol, &body);
        }
    }
    // An answer to Ann is last. Errors quote what she sent, so that it has words of its own.
    const ANSWER: &str = "the answer that comes last";
    let echo = internet.within(|| UdpSocket::bind("198.51.100.80:7000").unwrap());
    echo.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    scene.ann_sends(INTERNET[0], UDP, &udp(7001, 7000, b"answer me"));
    let (_, from) = echo.recv_from(&mut [0; 64]).unwrap();
    echo.send_to(ANSWER.as_bytes(), from).unwrap();
    let got = watch.until(|packet| packet.has(ANSWER) && is_inner(packet.destination));
    for packet in got.iter().filter(|packet| is_inner(packet.destination)) {
        let is_first = packet.protocol == TCP && packet.body[13] == SYN;
        assert!(!is_first && !packet.has("not for the peer"), "{packet:?}");
    }
}
