//! The ages of a session: 120 s and 180 s.

use std::time::Duration;

use mayfly_sim::packet::{INITIATION, RESPONSE};
use mayfly_sim::{Sim, Way};
use mayfly_tunnel::Refusal;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_client_that_sends_rekeys_every_120_s_and_loses_nothing() {
    let (mut sim, client) = Sim::connected();
    for n in 0..590_u32 {
        sim.send(client, &n.to_be_bytes());
        sim.answer(client, &n.to_be_bytes()).unwrap();
        sim.drive(SECOND);
    }
    assert_eq!(sim.seen(Way::Up, INITIATION).len(), 5);
    assert_eq!(sim.seen(Way::Down, RESPONSE).len(), 5);
    assert_eq!(sim.tun.len(), 591);
    assert_eq!(sim.clients[client].received.len(), 590);
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}

#[test]
fn keys_older_than_180_s_are_refused_both_ways() {
    let (mut sim, client) = Sim::connected();
    // Asleep, its timers do not rekey; what it seals is under the first keys.
    sim.clients[client].awake = false;
    let path = sim.clients[client].path;
    sim.drive(170 * SECOND);
    let in_time = sim.seal(client, b"171 s");
    let too_late = sim.seal(client, b"185 s");
    assert_eq!(sim.inject(path, &in_time), Ok(()));
    assert_eq!(sim.answer(client, b"171 s"), Ok(()));
    sim.drive(14 * SECOND);
    assert_eq!(sim.inject(path, &too_late), Err(Refusal::NotAuthentic));
    assert_eq!(sim.answer(client, b"185 s"), Err(Refusal::NoSession));
    assert_eq!(
        sim.downs(client),
        0,
        "heard 14 s ago: the session counts, though its keys are gone"
    );
}

#[test]
fn a_node_with_data_for_a_silent_peer_never_initiates_and_keeps_its_session() {
    let (mut sim, client) = Sim::connected();
    sim.clients[client].awake = false;
    for _ in 0..170 {
        sim.answer(client, b"anybody there?").unwrap();
        sim.drive(SECOND);
    }
    assert!(sim.seen(Way::Down, INITIATION).is_empty());
    // boringtun drops all sessions 90 s after an initiation that nobody answered.
    let (path, datagram) = (sim.clients[client].path, sim.seal(client, b"back"));
    assert_eq!(sim.inject(path, &datagram), Ok(()));
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}
