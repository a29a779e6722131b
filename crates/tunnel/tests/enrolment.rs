//! Which peers can be added, and how each is found.

use mayfly_kit::wireguard::*;
use mayfly_tunnel::{Event, NotAdded, Refusal};

#[test]
fn keys_of_low_order_are_refused() {
    // RFC 7748's curve has a cofactor of 8. These are the encodings of its points of small order
    // below the prime, and the equivalent ones above it.
    let order_8 = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ]
    .map(|hex| std::array::from_fn(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap()));
    let little = |first: u8, middle: u8, last: u8| {
        let mut key = [middle; 32];
        (key[0], key[31]) = (first, last);
        key
    };
    let mut low = vec![little(0, 0, 0), little(1, 0, 0)];
    low.extend([0xec, 0xed, 0xee].map(|first| little(first, 0xff, 0x7f)));
    low.extend(order_8);
    for public_key in low {
        let config = mayfly_tunnel::PeerConfig {
            public_key,
            ..peer_config(2, false)
        };
        let mut node = Node::new();
        assert_eq!(node.add(config), Err(Refusal::LowOrderKey));
    }
}

#[test]
fn an_address_is_one_peers() {
    let mut node = Node::new();
    node.enrol(2, true);
    let mut other = peer_config(3, true);
    other.ipv4 = ipv4(2);
    assert_eq!(node.tunnel.add_peer(9, other), Err(NotAdded::AddressTaken));
    let mut other = peer_config(3, true);
    other.ipv6 = Some(ipv6(2));
    assert_eq!(node.tunnel.add_peer(9, other), Err(NotAdded::AddressTaken));
    node.connect(2);
    assert_eq!(
        node.send(&ipv4_packet(INTERNET, ipv4(2), b"")),
        Ok(()),
        "the first peer still has the address"
    );
}

#[test]
fn of_two_peers_with_one_key_the_one_that_stays_has_it() {
    for older_stays in [true, false] {
        let mut node = Node::new();
        let older = node.enrol(2, true);
        let mut same_key = peer_config(2, true);
        (same_key.ipv4, same_key.ipv6) = (ipv4(3), Some(ipv6(3)));
        let newer = node.add(same_key).unwrap();
        let [stays, goes] = if older_stays {
            [older, newer]
        } else {
            [newer, older]
        };
        node.tunnel.remove_peer(goes);
        node.handle_jobs().unwrap();
        node.connect(2);
        assert_eq!(node.events(), [Event::SessionUp(stays)]);
    }
}

#[test]
fn the_nodes_own_key_and_addresses_are_taken() {
    let mut node = Node::new();
    let mut own = peer_config(2, true);
    own.ipv4 = NODE_IPV4;
    assert_eq!(node.tunnel.add_peer(9, own), Err(NotAdded::AddressTaken));
    let mut own = peer_config(2, true);
    own.ipv6 = Some(NODE_IPV6);
    assert_eq!(node.tunnel.add_peer(9, own), Err(NotAdded::AddressTaken));
    let mut own = peer_config(2, true);
    own.public_key = node.tunnel.public_key();
    assert_eq!(node.add(own), Err(Refusal::OwnKey));
}

#[test]
fn a_name_that_is_gone_names_nobody_else() {
    let mut node = Node::new();
    let first = node.enrol(2, true);
    node.tunnel.remove_peer(first);
    let second = node.enrol(2, true);
    assert_ne!(first, second);
    node.connect(2);
    assert_eq!(node.events().len(), 1);
    node.tunnel.end_session(first);
    node.tunnel.remove_peer(first);
    assert_eq!(node.events(), []);
    assert_eq!(node.send(&ipv4_packet(INTERNET, ipv4(2), b"")), Ok(()));
}

#[test]
fn hundreds_come_and_go_and_each_is_found() {
    let mut node = Node::new();
    for round in 0..3 {
        let peers: Vec<_> = (2..200)
            .map(|number| node.enrol(number, number % 2 == 0))
            .collect();
        for number in (2..200).step_by(7) {
            node.connect(number);
            assert_eq!(
                node.send(&ipv4_packet(INTERNET, ipv4(number), b"")),
                Ok(()),
                "{round}"
            );
            node.now += std::time::Duration::from_millis(10);
        }
        peers
            .into_iter()
            .for_each(|peer| node.tunnel.remove_peer(peer));
        assert_eq!(
            node.send(&ipv4_packet(INTERNET, ipv4(9), b"")),
            Err(Refusal::NoSuchAddress)
        );
    }
}

#[test]
fn a_key_that_is_not_enrolled_gets_no_answer() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut stranger = Client::new(3, node.tunnel.public_key());
    assert_eq!(
        node.take(3, &stranger.initiation()),
        Err(Refusal::UnknownPeer)
    );
    assert!(node.out.is_empty());
}

#[test]
fn a_peer_without_the_right_preshared_key_never_comes_up() {
    let mut node = Node::new();
    let mut other = peer_config(2, false);
    other.preshared_key[0] ^= 1;
    node.add(other).unwrap();
    let mut client = Client::new(2, node.tunnel.public_key());
    node.take(2, &client.initiation()).unwrap();
    let response = node.datagrams().remove(0);
    assert_eq!(client.take(&response), None);
    assert_eq!(node.events(), []);
}
