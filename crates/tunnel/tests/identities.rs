//! A node that changes its static key, and clients that have one or another.

#![allow(clippy::unwrap_used, reason = "this is a test")]

use std::time::Duration;

use mayfly_kit::wireguard::*;
use mayfly_tunnel::{Event, Refusal};
use zeroize::Zeroizing;

const HOUR: Duration = Duration::from_secs(3_600);

/// A node with one more static key for each number, and the public keys of all.
fn node_with_keys(later: &[u8]) -> (Node, Vec<[u8; 32]>) {
    let mut node = Node::new();
    let mut keys = vec![node.tunnel.public_key()];
    for &number in later {
        let key = Zeroizing::new([number; 32]);
        keys.push(node.responder.add_identity(key, node.now));
    }
    (node, keys)
}

/// Makes a handshake with the node's key `key`, and confirms it.
fn connect(node: &mut Node, number: u8, key: [u8; 32]) -> Result<Client, Refusal> {
    let mut client = Client::new(number, key);
    node.take(number, &client.initiation())?;
    let response = node.datagrams().remove(0);
    let keepalive = client.take(&response).unwrap();
    node.take(number, &keepalive).unwrap();
    Ok(client)
}

#[test]
fn each_key_answers_whoever_has_it() {
    let (mut node, keys) = node_with_keys(&[0xe1, 0xe2]);
    for (number, &key) in (2..).zip(&keys) {
        let peer = node.enrol(number, true);
        let mut client = connect(&mut node, number, key).ok().unwrap();
        assert_eq!(node.events(), [Event::SessionUp(peer)]);
        let packet = ipv4_packet(ipv4(number), INTERNET, b"up");
        assert_eq!(node.take(number, &client.seal(&packet)), Ok(()));
        assert_eq!(node.packets(), [packet]);
    }
}

#[test]
fn a_session_goes_on_when_its_client_takes_the_new_key() {
    let (mut node, keys) = node_with_keys(&[0xe1]);
    let peer = node.enrol(2, true);
    for &key in keys.iter().cycle().take(6) {
        connect(&mut node, 2, key).ok().unwrap();
        node.now += Duration::from_secs(120);
    }
    assert_eq!(node.events(), [Event::SessionUp(peer)]);
}

#[test]
fn a_key_is_destroyed_36_hours_after_the_next_one_was_made() {
    let (mut node, keys) = node_with_keys(&[]);
    node.enrol(2, true);
    node.now += 24 * HOUR;
    let next = Zeroizing::new([0xe1; 32]);
    let next = node.responder.add_identity(next, node.now);
    node.now += 36 * HOUR - Duration::from_secs(1);
    node.responder.retire_identities(node.now);
    assert!(connect(&mut node, 2, keys[0]).is_ok());
    node.now += Duration::from_secs(1);
    node.responder.retire_identities(node.now);
    let refused = connect(&mut node, 2, keys[0]).err();
    assert_eq!(refused, Some(Refusal::Mac1));
    assert!(node.out.is_empty());
    assert!(connect(&mut node, 2, next).is_ok());
}

#[test]
fn a_recording_to_one_key_is_not_answered_after_a_handshake_with_another() {
    let (mut node, keys) = node_with_keys(&[0xe1]);
    node.enrol(2, true);
    let recorded = Client::new(2, keys[0]).initiation();
    assert_eq!(node.take(2, &recorded), Ok(()));
    node.out.clear();
    connect(&mut node, 2, keys[1]).ok().unwrap();
    assert_eq!(node.take(2, &recorded), Err(Refusal::Handshake));
}

#[test]
fn cookies_are_each_keys_own() {
    let (mut node, keys) = node_with_keys(&[0xe1]);
    for key in keys {
        let mut stranger = Client::new(2, key);
        let junk = stranger.initiation();
        while node.take(2, &junk) == Err(Refusal::UnknownPeer) {}
        assert_eq!(node.take(2, &junk), Err(Refusal::CookieDemanded));
        let cookie = node.datagrams().pop().unwrap();
        assert_eq!(stranger.take(&cookie), None);
        let proven = stranger.initiation();
        assert_eq!(node.take(2, &proven), Err(Refusal::UnknownPeer));
    }
}

#[test]
fn no_peer_has_a_key_of_the_node() {
    let (mut node, keys) = node_with_keys(&[0xe1]);
    for (number, public_key) in (2..).zip(keys) {
        let mut own = peer_config(number, true);
        own.public_key = public_key;
        assert_eq!(node.add(own), Err(Refusal::OwnKey));
    }
}
