//! The refusals of handshakes, each by name.

use mayfly_kit::wireguard::*;
use mayfly_tunnel::{Ecn, Refusal};

/// Where the encrypted static key and the first MAC of an initiation are (paper, section 5.4.2).
const ENCRYPTED_STATIC: usize = 40;
const MAC1: usize = 116;
const MAC2: usize = 132;

#[test]
fn an_initiation_with_a_wrong_first_mac_is_refused_and_not_counted() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = Client::new(2, node.tunnel.public_key());
    let initiation = client.initiation();
    for at in [4, 31, ENCRYPTED_STATIC, MAC1 - 1, MAC1, MAC2 - 1] {
        let mut forged = initiation.clone();
        forged[at] ^= 1;
        assert_eq!(node.take(2, &forged), Err(Refusal::Mac1), "byte {at}");
    }
    assert!(node.out.is_empty());
    assert_eq!(node.responder.poll_timeout(), None);
}

#[test]
fn an_initiation_whose_static_key_does_not_decrypt_is_refused() {
    let mut node = Node::new();
    node.enrol(2, false);
    let key = node.tunnel.public_key();
    let mut initiation = Client::new(2, key).initiation();
    initiation[ENCRYPTED_STATIC] ^= 1;
    let mac = mac1(&key, &initiation[..MAC1]);
    initiation[MAC1..MAC2].copy_from_slice(&mac);
    assert_eq!(node.take(2, &initiation), Err(Refusal::Undecryptable));
    assert!(node.out.is_empty());
}

#[test]
fn a_source_that_has_proven_its_address_still_has_a_limit() {
    let mut node = Node::new();
    let mut stranger = Client::new(2, node.tunnel.public_key());
    let unproven = stranger.initiation();
    for _ in 0..20 {
        assert_eq!(node.take(2, &unproven), Err(Refusal::UnknownPeer));
    }
    assert_eq!(node.take(2, &unproven), Err(Refusal::CookieDemanded));
    let cookie = node.datagrams().remove(0);
    assert_eq!(stranger.take(&cookie), None);
    let proven = stranger.initiation();
    let mut opened = 0;
    while node.take(2, &proven) == Err(Refusal::UnknownPeer) {
        opened += 1;
    }
    assert_eq!(node.take(2, &proven), Err(Refusal::OverLimit));
    assert!((20..200).contains(&opened), "{opened}");
    assert!(node.out.is_empty(), "it has a cookie already");
    assert_eq!(node.take(3, &unproven), Err(Refusal::UnknownPeer));
}

#[test]
fn one_key_has_five_answers_a_second_wherever_it_asks() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = Client::new(2, node.tunnel.public_key());
    for _ in 0..2 {
        for from in 0..5 {
            assert_eq!(node.take(from, &client.initiation()), Ok(()));
        }
        let over = node.take(6, &client.initiation());
        assert_eq!(over, Err(Refusal::OverLimit));
        node.now += std::time::Duration::from_secs(1);
    }
}

#[test]
fn a_reply_for_a_peer_that_was_removed_meanwhile_comes_too_late() {
    let mut node = Node::new();
    let peer = node.enrol(2, false);
    let mut initiation = Client::new(2, node.tunnel.public_key()).initiation();
    let (out, now) = (&mut node.out, node.now);
    let taken = node
        .tunnel
        .handle_datagram(endpoint(2), Ecn::NotEct, &mut initiation, out, now);
    taken.unwrap();
    let job = node.tunnel.poll_job().unwrap();
    let reply = node.responder.handle_job(job, out, now).unwrap().unwrap();
    node.tunnel.remove_peer(peer);
    let late = node.tunnel.handle_reply(reply, out, now);
    assert_eq!(late, Err(Refusal::TooLate));
    assert!(node.out.is_empty());
    assert_eq!(node.tunnel.poll_timeout(), None);
}
