//! Traps of boringtun that a server must not fall into. Some tests pin the trap itself: if one of
//! those fails with a new boringtun, our workaround can be removed.

use std::time::Duration;

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use mayfly_kit::wireguard::*;
use mayfly_tunnel::{Ecn, Event, Refusal};
use x25519_dalek::PublicKey;

/// 2^64 - 2^13 - 1, the paper's REJECT_AFTER_MESSAGES.
const FIRST_FORBIDDEN: u64 = 0xffff_ffff_ffff_dfff;

#[test]
fn the_longest_datagram_for_a_live_session_does_not_panic() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    let mut datagram = client.seal(b"");
    for len in [33, 148, 1_500, 9_000, 65_507, 65_527] {
        datagram.resize(len, 0xaa);
        assert_eq!(node.take(2, &datagram), Err(Refusal::NotAuthentic), "{len}");
    }
    datagram.resize(65_528, 0);
    assert_eq!(node.take(2, &datagram), Err(Refusal::NotWireGuard));
}

#[test]
fn the_longest_packet_comes_through_whole() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    let packet = ipv4_packet(ipv4(2), INTERNET, &[7; 65_000]);
    assert_eq!(node.take(2, &client.seal(&packet)), Ok(()));
    assert_eq!(node.packets(), [packet]);
}

#[test]
fn counters_at_the_end_of_their_range_are_refused_before_boringtun_sees_them() {
    let mut node = Node::new();
    node.enrol(2, false);
    let key = node.tunnel.public_key();
    let evil = Evil::connect(2, key, |initiation| {
        node.take(2, initiation).unwrap();
        node.datagrams().remove(0)
    });
    let packet = ipv4_packet(ipv4(2), INTERNET, b"");
    for counter in [FIRST_FORBIDDEN, u64::MAX - 1023, u64::MAX - 1] {
        assert_eq!(
            node.take(2, &evil.seal(counter, &packet)),
            Err(Refusal::CounterExhausted)
        );
    }
    assert_eq!(node.events(), [], "refused, so no sign of life");
    assert_eq!(
        node.take(2, &evil.seal(FIRST_FORBIDDEN - 1, &packet)),
        Ok(())
    );
    assert_eq!(node.packets(), std::slice::from_ref(&packet));
    assert_eq!(
        node.take(2, &evil.seal(5, &packet)),
        Err(Refusal::NotAuthentic),
        "too far back"
    );
}

#[test]
#[should_panic(expected = "overflow")]
fn pinned_boringtun_panics_at_a_counter_near_its_end() {
    let key = PublicKey::from(&private_key(1));
    let peer = PublicKey::from(&private_key(2));
    let mut tunn = Tunn::new(private_key(1), peer, Some(preshared_key(2)), None, 7, None);
    let evil = Evil::connect(2, key.to_bytes(), |initiation| {
        written(tunn.decapsulate(None, initiation, &mut [0; 148])).unwrap()
    });
    for counter in [u64::MAX - 1, u64::MAX - 2] {
        let _ = tunn.decapsulate(None, &evil.seal(counter, b""), &mut [0; 148]);
    }
}

#[test]
fn an_inner_length_that_is_shorter_than_a_header_is_refused() {
    let mut node = Node::new();
    let peer = node.enrol(2, true);
    let mut client = node.connect(2);
    for len in 0..20_u8 {
        let mut packet = ipv4_packet(ipv4(2), INTERNET, &[0; 44]);
        packet[2..4].copy_from_slice(&[0, len]);
        assert_eq!(
            node.take(2, &client.seal(&packet)),
            Err(Refusal::InnerHeader),
            "{len}"
        );
    }
    let longer_than_itself = &ipv4_packet(ipv4(2), INTERNET, &[0; 44])[..63];
    assert_eq!(
        node.take(2, &client.seal(longer_than_itself)),
        Err(Refusal::InnerHeader)
    );
    let neither_4_nor_6 = [0x50; 64];
    assert_eq!(
        node.take(2, &client.seal(&neither_4_nor_6)),
        Err(Refusal::InnerHeader)
    );
    assert!(node.packets().is_empty());
    assert_eq!(
        node.events(),
        [Event::SessionUp(peer)],
        "malformed, but authentic"
    );
}

#[test]
fn a_peer_without_a_session_is_sent_nothing() {
    let mut node = Node::new();
    node.enrol(2, false);
    let packet = ipv4_packet(INTERNET, ipv4(2), b"noise");
    assert_eq!(node.send(&packet), Err(Refusal::NoSession));
    // Half open: an initiation was answered, and anyone may have sent it.
    let mut client = Client::new(2, node.tunnel.public_key());
    node.take(2, &client.initiation()).unwrap();
    assert_eq!(node.datagrams().len(), 1);
    for _ in 0..19 {
        node.now += Duration::from_millis(250);
        assert_eq!(node.send(&packet), Err(Refusal::NoSession));
        assert_eq!(node.take(2, &client.initiation()), Ok(()));
    }
    assert!(node.datagrams().iter().all(|datagram| datagram[0] == 2));
}

#[test]
fn answers_to_what_was_never_asked_are_refused() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = Client::new(2, node.tunnel.public_key());
    node.take(2, &client.initiation()).unwrap();
    let mut response = node.datagrams().remove(0);
    assert_eq!(node.take(2, &response), Err(Refusal::NotAsked));
    response.truncate(64);
    response[0] = 3;
    assert_eq!(node.take(2, &response), Err(Refusal::NotAsked));
}

#[test]
fn a_handshake_is_counted_once() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = Client::new(2, node.tunnel.public_key());
    let admitted = (0..100)
        .filter(|_| node.take(2, &client.initiation()).is_ok())
        .count();
    assert_eq!(admitted, 5, "as many as one key may have in a second");
}

#[test]
fn pinned_boringtun_counts_verify_and_decapsulate() {
    let key = PublicKey::from(&private_key(1));
    let limiter = std::sync::Arc::new(RateLimiter::new(&key, 2));
    let peer = PublicKey::from(&private_key(2));
    let shared = Some(std::sync::Arc::clone(&limiter));
    let mut tunn = Tunn::new(
        private_key(1),
        peer,
        Some(preshared_key(2)),
        None,
        7,
        shared,
    );
    let mut client = Client::new(2, key.to_bytes());
    let (first, second) = (client.initiation(), client.initiation());
    assert!(limiter.verify_packet(None, &first, &mut [0; 64]).is_ok());
    assert!(written(tunn.decapsulate(None, &first, &mut [0; 148])).is_some());
    assert!(
        limiter.verify_packet(None, &second, &mut [0; 64]).is_err(),
        "one handshake, two counts"
    );
}

#[test]
fn the_end_of_a_session_does_not_forget_a_handshake_that_is_newer() {
    let mut node = Node::new();
    let peer = node.enrol(2, false);
    let mut client = node.connect(2);
    let newer = client.initiation();
    // It is on its way to the responder while the session ends.
    let (out, now) = (&mut node.out, node.now);
    let taken = node
        .tunnel
        .handle_datagram(endpoint(2), Ecn::NotEct, &mut newer.clone(), out, now);
    taken.unwrap();
    node.tunnel.end_session(peer);
    node.handle_jobs().unwrap();
    assert_eq!(node.take(66, &newer), Err(Refusal::Handshake));
}

#[test]
fn a_recorded_initiation_moves_neither_endpoint_nor_count() {
    let mut node = Node::new();
    let peer = node.enrol(2, false);
    let mut client = Client::new(2, node.tunnel.public_key());
    let recorded = client.initiation();
    node.take(2, &recorded).unwrap();
    let response = node.datagrams().remove(0);
    node.take(2, &client.take(&response).unwrap()).unwrap();
    assert_eq!(node.events(), [Event::SessionUp(peer)]);
    node.tunnel.end_session(peer);
    assert_eq!(node.events(), [Event::SessionDown(peer)]);
    // The Tunn is new and accepts it. It is answered, and nothing more happens.
    assert_eq!(node.take(66, &recorded), Ok(()));
    assert_eq!(node.datagrams().len(), 1);
    assert_eq!(node.events(), []);
    assert_eq!(
        node.send(&ipv4_packet(INTERNET, ipv4(2), b"")),
        Err(Refusal::NoSession)
    );
}

#[test]
fn receiver_indices_are_random_and_new_with_each_session() {
    let mut node = Node::new();
    let mut indices = Vec::new();
    for number in 2..22 {
        let peer = node.enrol(number, false);
        for _ in 0..5 {
            let mut client = Client::new(number, node.tunnel.public_key());
            node.take(number, &client.initiation()).unwrap();
            let response = node.datagrams().remove(0);
            indices.push(u32::from_le_bytes(response[4..8].try_into().unwrap()) >> 8);
            node.take(number, &client.take(&response).unwrap()).unwrap();
            node.tunnel.end_session(peer);
        }
    }
    let spread = indices.iter().fold(0, |bits, index| bits | index);
    assert_eq!(spread, 0x00ff_ffff, "all 24 bits are used");
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), 100);
}

#[test]
fn packets_are_padded_to_16_bytes_but_not_beyond_the_mtu() {
    let mut node = Node::new();
    node.enrol(2, false);
    let mut client = node.connect(2);
    for (len, padded) in [
        (20, 32),
        (32, 32),
        (33, 48),
        (1_408, 1_408),
        (1_409, 1_420),
        (1_420, 1_420),
    ] {
        let packet = ipv4_packet(INTERNET, ipv4(2), &vec![7; len - 20]);
        node.send(&packet).unwrap();
        let datagram = node.datagrams().remove(0);
        assert_eq!(datagram.len(), padded + 32);
        assert_eq!(client.open(&datagram), packet);
    }
}

#[test]
fn pinned_boringtun_knows_no_time_that_it_was_not_told() {
    // A Tunn that is never told the time starts nothing: no keepalive, no initiation. It also never
    // drops keys, so their age limit is ours to set.
    let key = PublicKey::from(&private_key(1));
    let peer = PublicKey::from(&private_key(2));
    let mut tunn = Tunn::new(private_key(1), peer, Some(preshared_key(2)), None, 7, None);
    let mut client = Client::new(2, key.to_bytes());
    let response = written(tunn.decapsulate(None, &client.initiation(), &mut [0; 148])).unwrap();
    let keepalive = client.take(&response).unwrap();
    assert!(matches!(
        tunn.decapsulate(None, &keepalive, &mut [0; 148]),
        TunnResult::Done
    ));
    assert!(written(tunn.encapsulate(b"", &mut [0; 148])).is_some());
}
