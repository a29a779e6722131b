//! Recorded datagrams have no lasting effect.

use std::net::SocketAddr;
use std::time::Duration;

use mayfly_sim::packet::{INITIATION, RESPONSE, TRANSPORT};
use mayfly_sim::{Sim, Way};
use mayfly_tunnel::{Endpoint, Refusal};

const SECOND: Duration = Duration::from_secs(1);

fn attacker() -> Endpoint {
    Endpoint {
        remote: SocketAddr::from(([203, 0, 113, 66], 6666)),
        local: None,
    }
}

/// A client that connected once and sleeps, and its recorded initiation.
fn asleep() -> (Sim, usize, Vec<u8>) {
    let (mut sim, client) = Sim::connected();
    let recorded = sim.seen(Way::Up, INITIATION)[0].bytes.clone();
    sim.clients[client].awake = false;
    sim.drive(200 * SECOND);
    (sim, client, recorded)
}

#[test]
fn a_recorded_initiation_does_not_disturb_a_live_session() {
    let (mut sim, client) = Sim::connected();
    let recorded = sim.seen(Way::Up, INITIATION)[0].bytes.clone();
    let sent = sim.wire.len();
    for _ in 0..300 {
        assert_eq!(sim.inject(attacker(), &recorded), Err(Refusal::Handshake));
        sim.drive(SECOND / 4);
    }
    assert_eq!(sim.seen(Way::Down, RESPONSE).len(), 1);
    assert!(
        sim.wire[sent..]
            .iter()
            .all(|wire| wire.endpoint != attacker())
    );
    sim.send(client, b"undisturbed");
    sim.drive(SECOND);
    sim.answer(client, b"undisturbed").unwrap();
    assert!(sim.wire.last().unwrap().endpoint == sim.clients[client].endpoint);
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
    assert_eq!(sim.seen(Way::Up, INITIATION).len(), 1);
}

#[test]
fn a_recorded_initiation_of_a_sleeping_client_is_answered_but_counts_for_nothing() {
    let (mut sim, client, recorded) = asleep();
    assert_eq!(sim.inject(attacker(), &recorded), Ok(()));
    assert_eq!(
        sim.answer(client, b"for the sleeper"),
        Err(Refusal::NoSession)
    );
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 1));
    sim.drive(11 * SECOND);
    assert_eq!(sim.tunnel.poll_timeout(), None, "nothing is left of it");
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 1));
}

#[test]
fn an_initiation_replayed_for_an_hour_is_answered_once_in_10_s() {
    let (mut sim, client, recorded) = asleep();
    let before = sim.seen(Way::Down, RESPONSE).len();
    for _ in 0..3_600 {
        let _ = sim.inject(attacker(), &recorded);
        sim.drive(SECOND);
    }
    let answers = sim.seen(Way::Down, RESPONSE).len() - before;
    assert!((300..=360).contains(&answers), "{answers}");
    assert_eq!(sim.ups(client), 1);
}

#[test]
fn the_client_comes_back_while_its_initiation_is_being_replayed() {
    let (mut sim, client, recorded) = asleep();
    for _ in 0..30 {
        let _ = sim.inject(attacker(), &recorded);
        sim.drive(SECOND);
    }
    sim.clients[client].awake = true;
    sim.send(client, b"awake");
    for _ in 0..10 {
        let _ = sim.inject(attacker(), &recorded);
        sim.drive(SECOND / 10);
    }
    assert_eq!(sim.ups(client), 2);
    sim.answer(client, b"welcome").unwrap();
    assert!(sim.wire.last().unwrap().endpoint == sim.clients[client].endpoint);
    // The recording had made a half-open session before the client came. That must not shorten the
    // client's own.
    for _ in 0..120 {
        sim.send(client, b"on and on");
        sim.drive(SECOND);
    }
    assert_eq!((sim.ups(client), sim.downs(client)), (2, 1));
}

#[test]
fn no_packet_comes_out_twice() {
    let (mut sim, client) = Sim::connected();
    for n in 0..100_u8 {
        sim.send(client, &[n]);
    }
    sim.drive(SECOND);
    assert_eq!(sim.tun.len(), 101);
    let recorded: Vec<_> = sim
        .seen(Way::Up, TRANSPORT)
        .iter()
        .map(|wire| wire.bytes.clone())
        .collect();
    let endpoint = sim.clients[client].endpoint;
    for bytes in recorded {
        assert_eq!(sim.inject(endpoint, &bytes), Err(Refusal::NotAuthentic));
    }
    assert_eq!(sim.tun.len(), 101);
}

#[test]
fn a_replayed_packet_is_no_sign_of_life() {
    let (mut sim, client) = Sim::connected();
    sim.clients[client].awake = false;
    let recorded = sim.seen(Way::Up, TRANSPORT)[0].bytes.clone();
    for _ in 0..200 {
        let _ = sim.inject(attacker(), &recorded);
        sim.drive(SECOND);
    }
    assert_eq!(sim.downs(client), 1);
}
