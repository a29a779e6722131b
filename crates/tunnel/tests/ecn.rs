//! Congestion marks cross the tunnel, and nothing else of a service class does.

use mayfly_kit::wireguard::*;
use mayfly_tunnel::{Ecn, Refusal};

/// An IPv4 packet with this service class. Its checksum is not checked here.
fn with_class(mut packet: Vec<u8>, class: u8) -> Vec<u8> {
    packet[1] = class;
    packet
}

fn up(class: u8) -> Vec<u8> {
    with_class(ipv4_packet(ipv4(2), INTERNET, b"up"), class)
}

fn down(class: u8) -> Vec<u8> {
    with_class(ipv4_packet(INTERNET, ipv4(2), b"down"), class)
}

fn outer(node: &Node) -> Vec<Ecn> {
    node.out.datagrams().map(|datagram| datagram.ecn).collect()
}

#[test]
fn a_mark_on_the_way_reaches_the_packet_or_takes_its_place() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    // Service class 46 (RFC 3246) and ECT(0).
    let packet = up(46 << 2 | 2);
    node.take_marked(2, Ecn::Ce, &client.seal(&packet)).unwrap();
    let [marked] = &node.packets()[..] else {
        panic!("one packet goes in, one comes out");
    };
    assert_eq!(marked[1], 46 << 2 | 3);
    assert_eq!(marked[2..9], packet[2..9], "its TTL is unchanged, too");
    assert_eq!(marked[12..], packet[12..]);

    let deaf = up(46 << 2);
    let taken = node.take_marked(2, Ecn::Ce, &client.seal(&deaf));
    assert_eq!(taken, Err(Refusal::Congestion));
    for harmless in [Ecn::NotEct, Ecn::Ect0, Ecn::Ect1] {
        assert_eq!(node.take_marked(2, harmless, &client.seal(&deaf)), Ok(()));
    }
    assert_eq!(node.packets(), vec![deaf; 3]);
}

#[test]
fn a_peer_that_does_not_speak_of_congestion_outside_is_not_spoken_to() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    for class in [0, 1, 2, 3, 0xff] {
        node.take(2, &client.seal(&up(class))).unwrap();
        node.send(&down(class)).unwrap();
        assert_eq!(outer(&node), [Ecn::NotEct], "class {class}");
        node.out.clear();
    }
}

#[test]
fn a_peer_that_does_is_answered_in_kind_and_hears_nothing_of_the_class() {
    let mut node = Node::new();
    node.enrol(2, false);
    node.enrol(3, false);
    let mut client = node.connect(2);
    node.connect(3);
    node.take_marked(2, Ecn::Ect0, &client.seal(&up(2)))
        .unwrap();
    node.out.clear();
    for class in [46 << 2, 46 << 2 | 2, 46 << 2 | 3, 46 << 2 | 3, 1] {
        node.send(&down(class)).unwrap();
    }
    use Ecn::{Ce, Ect0, Ect1, NotEct};
    assert_eq!(outer(&node), [NotEct, Ect0, Ce, Ce, Ect1]);
    let trains = node.out.trains();
    let lengths: Vec<_> = trains.map(|t| (t.ecn, t.bytes.len() / t.segment)).collect();
    let alone = [(NotEct, 1), (Ect0, 1), (Ce, 2), (Ect1, 1)];
    assert_eq!(lengths, alone, "a train has one mark");
    for (datagram, class) in node.datagrams().iter().zip([46 << 2, 46 << 2 | 2]) {
        assert_eq!(client.open(datagram), down(class), "inside nothing changes");
    }
    let other = with_class(ipv4_packet(INTERNET, ipv4(3), b""), 2);
    node.send(&other).unwrap();
    assert_eq!(
        outer(&node),
        [NotEct],
        "what one peer does says nothing of another"
    );
}
