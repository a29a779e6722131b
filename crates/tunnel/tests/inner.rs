//! Which packets may come out of the tunnel, and from which peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mayfly_kit::wireguard::*;
use mayfly_tunnel::{Endpoint, Event, Refusal};

const INTERNET_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);

#[test]
fn a_peer_sends_from_its_own_addresses_only() {
    let mut node = Node::new();
    node.enrol(2, true);
    node.enrol(3, true);
    let mut client = node.connect(2);
    let own = ipv4_packet(ipv4(2), INTERNET, b"own");
    let own_ipv6 = ipv6_packet(ipv6(2), INTERNET_IPV6, b"own");
    for packet in [&own, &own_ipv6] {
        assert_eq!(node.take(2, &client.seal(packet)), Ok(()));
    }
    for packet in [
        ipv4_packet(ipv4(3), INTERNET, b"another's"),
        ipv4_packet(Ipv4Addr::UNSPECIFIED, INTERNET, b"no one's"),
        ipv4_packet(INTERNET, INTERNET, b"the internet's"),
        ipv6_packet(ipv6(3), INTERNET_IPV6, b"another's"),
        ipv6_packet(INTERNET_IPV6, INTERNET_IPV6, b"the internet's"),
    ] {
        assert_eq!(
            node.take(2, &client.seal(&packet)),
            Err(Refusal::InnerSource)
        );
    }
    assert_eq!(node.packets(), [own, own_ipv6]);
}

#[test]
fn peers_do_not_reach_each_other_but_reach_the_node() {
    let mut node = Node::new();
    node.enrol(2, true);
    node.enrol(3, true);
    let mut client = node.connect(2);
    for packet in [
        ipv4_packet(ipv4(2), ipv4(3), b""),
        ipv4_packet(ipv4(2), ipv4(2), b""),
        ipv4_packet(ipv4(2), Ipv4Addr::new(10, 64, 255, 255), b""),
        ipv6_packet(ipv6(2), ipv6(3), b""),
    ] {
        assert_eq!(
            node.take(2, &client.seal(&packet)),
            Err(Refusal::InnerDestination)
        );
    }
    for packet in [
        ipv4_packet(ipv4(2), NODE_IPV4, b""),
        ipv4_packet(ipv4(2), Ipv4Addr::new(10, 65, 0, 0), b""),
        ipv6_packet(ipv6(2), NODE_IPV6, b""),
    ] {
        assert_eq!(node.take(2, &client.seal(&packet)), Ok(()));
    }
    assert_eq!(node.packets().len(), 3);
}

#[test]
fn padding_does_not_come_out_of_the_tunnel() {
    let mut node = Node::new();
    node.enrol(2, true);
    let mut client = node.connect(2);
    let packet = ipv4_packet(ipv4(2), INTERNET, b"short");
    let mut padded = packet.clone();
    padded.resize(32, 0);
    node.take(2, &client.seal(&padded)).unwrap();
    assert_eq!(node.packets(), [packet]);
}

#[test]
fn packets_for_nobody_or_for_no_ip_are_refused() {
    let mut node = Node::new();
    node.enrol(2, false);
    let unknown = ipv4_packet(INTERNET, ipv4(3), b"");
    assert_eq!(node.send(&unknown), Err(Refusal::NoSuchAddress));
    assert_eq!(
        node.send(&ipv6_packet(INTERNET_IPV6, ipv6(2), b"")),
        Err(Refusal::NoSuchAddress)
    );
    assert_eq!(node.send(&[]), Err(Refusal::InnerHeader));
    assert_eq!(node.send(&unknown[..19]), Err(Refusal::InnerHeader));
}

#[test]
fn ipv6_of_a_peer_without_it_is_answered_prohibited_through_the_tunnel() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    let lan = Ipv6Addr::new(0x2001, 0xdb8, 7, 7, 0, 0, 0, 7);
    let packet = ipv6_packet(lan, INTERNET_IPV6, b"leak?");
    assert_eq!(node.take(2, &client.seal(&packet)), Err(Refusal::NoIpv6));
    let (datagrams, packets) = node.outbox();
    assert!(packets.is_empty());
    assert_eq!(datagrams[0].len() % 16, 0);
    let error = client.open(&datagrams[0]);
    assert_eq!(error[8..24], NODE_IPV6.octets());
    assert_eq!(error[24..40], lan.octets());
    assert_eq!((error[6], error[40], error[41]), (58, 1, 1));
    assert_eq!(error[48..], packet);
}

#[test]
fn a_session_that_begins_with_ipv6_of_a_peer_without_it_is_answered_under_its_own_keys() {
    let mut node = Node::new();
    let peer = node.enrol(2, false);
    let mut client = Client::new(2, node.tunnel.public_key());
    node.take(2, &client.initiation()).unwrap();
    let response = node.datagrams().remove(0);
    client.take(&response).unwrap();
    let packet = ipv6_packet(ipv6(2), INTERNET_IPV6, b"leak?");
    assert_eq!(node.take(2, &client.seal(&packet)), Err(Refusal::NoIpv6));
    assert_eq!(node.events(), [Event::SessionUp(peer)]);
    let error = client.open(&node.datagrams()[0]);
    assert_eq!(error[48..], packet);
}

#[test]
fn prohibitions_are_ten_a_second() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    let packet = ipv6_packet(ipv6(2), INTERNET_IPV6, b"leak?");
    for _ in 0..2 {
        for _ in 0..50 {
            let _ = node.take(2, &client.seal(&packet));
        }
        assert_eq!(node.datagrams().len(), 10);
        node.now += Duration::from_secs(1);
    }
}

/// Ends of a datagram that came out of the tunnel: an inner address at one end, or the node's own
/// outer one at both.
fn nested_endpoints() -> Vec<Endpoint> {
    let outer = Some(IpAddr::from([192, 0, 2, 1]));
    let remotes = [
        ipv4(2).into(),
        Ipv4Addr::new(10, 64, 255, 255).into(),
        NODE_IPV4.into(),
        IpAddr::from(ipv4(2).to_ipv6_mapped()),
        ipv6(2).into(),
        NODE_IPV6.into(),
        IpAddr::from([192, 0, 2, 1]),
    ];
    let remotes = remotes.map(|remote| (remote, outer));
    let locals = [NODE_IPV4.into(), NODE_IPV6.into()];
    let locals = locals.map(|local| (endpoint(2).remote.ip(), Some(local)));
    let ends = remotes.into_iter().chain(locals);
    ends.map(|(remote, local)| Endpoint {
        remote: SocketAddr::new(remote, 40_000),
        local,
    })
    .collect()
}

#[test]
fn a_packet_that_came_out_of_the_tunnel_moves_no_endpoint_and_uses_no_counter() {
    let mut node = Node::new();
    node.enrol(2, true);
    let mut client = node.connect(2);
    let packet = ipv4_packet(ipv4(2), INTERNET, b"own");
    for nested in nested_endpoints() {
        let sealed = client.seal(&packet);
        let refused = node.take_from(nested, &sealed);
        assert_eq!(refused, Err(Refusal::InnerEndpoint));
        assert!(node.out.is_empty());
        node.send(&ipv4_packet(INTERNET, ipv4(2), b"where?"))
            .unwrap();
        let remotes: Vec<_> = node.out.datagrams().map(|d| d.endpoint.remote).collect();
        assert_eq!(remotes, [endpoint(2).remote]);
        node.out.clear();
        assert_eq!(node.take(2, &sealed), Ok(()), "its counter was not used");
        node.out.clear();
    }
}

#[test]
fn no_handshake_message_is_answered_to_an_inner_address() {
    let mut node = Node::new();
    node.enrol(2, true);
    let mut client = Client::new(2, node.tunnel.public_key());
    for nested in nested_endpoints() {
        // More than one source may have without a cookie.
        for _ in 0..40 {
            let refused = node.take_from(nested, &client.initiation());
            assert_eq!(refused, Err(Refusal::InnerEndpoint));
        }
    }
    assert!(node.out.is_empty());
    assert_eq!(node.responder.poll_timeout(), None, "no answer was begun");
}
