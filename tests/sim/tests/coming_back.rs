//! Clients that come back after they were away.

use std::time::Duration;

use mayfly_sim::packet::{INITIATION, RESPONSE};
use mayfly_sim::{Sim, Way};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_phone_that_slept_an_hour_comes_back_within_a_second() {
    let (mut sim, client) = Sim::connected();
    sim.sleep(client, 3_600 * SECOND);
    assert_eq!(sim.downs(client), 1);
    sim.tun.clear();
    sim.send(client, b"awake");
    sim.drive(SECOND);
    assert_eq!(sim.tun, [sim.clients[client].packet(b"awake")]);
    assert_eq!((sim.ups(client), sim.downs(client)), (2, 1));
    sim.answer(client, b"welcome").unwrap();
    sim.drive(SECOND);
    assert_eq!(sim.clients[client].received.len(), 1);
}

#[test]
fn a_phone_that_slept_a_minute_goes_on_with_its_session() {
    let (mut sim, client) = Sim::connected();
    sim.drive(12 * SECOND);
    sim.sleep(client, 60 * SECOND);
    sim.send(client, b"awake");
    sim.drive(SECOND);
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
    assert_eq!(sim.seen(Way::Up, INITIATION).len(), 1);
}

#[test]
fn a_phone_may_sleep_and_wake_for_a_day() {
    let (mut sim, client) = Sim::connected();
    for n in 0..48 {
        sim.sleep(client, 1_790 * SECOND);
        sim.send(client, b"awake");
        sim.drive(10 * SECOND);
        assert_eq!((sim.ups(client), sim.downs(client)), (n + 2, n + 1));
    }
}

#[test]
fn each_session_has_indices_of_its_own() {
    let (mut sim, client) = Sim::connected();
    for _ in 0..3 {
        sim.sleep(client, 200 * SECOND);
        sim.send(client, b"awake");
        sim.drive(SECOND);
    }
    let index = |bytes: &[u8]| u32::from_le_bytes(bytes[4..8].try_into().unwrap()) >> 8;
    let mut indices: Vec<_> = sim
        .seen(Way::Down, RESPONSE)
        .iter()
        .map(|wire| index(&wire.bytes))
        .collect();
    assert_eq!(indices.len(), 4);
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), 4);
}

#[test]
fn a_client_whose_session_was_ended_finds_out_and_comes_back() {
    let (mut sim, client) = Sim::connected();
    sim.tunnel.end_session(sim.clients[client].peer);
    for _ in 0..30 {
        sim.send(client, b"anybody there?");
        sim.drive(SECOND);
    }
    assert_eq!((sim.ups(client), sim.downs(client)), (2, 1));
}

#[test]
fn a_client_comes_through_an_hour_of_heavy_loss_without_an_event_and_nothing_comes_twice() {
    let (mut sim, client) = Sim::connected();
    sim.loss = 20;
    for n in 1..3_600_u32 {
        sim.send(client, &n.to_be_bytes());
        sim.drive(SECOND);
    }
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
    let arrived = sim.tun.len();
    assert!((2_600..3_200).contains(&arrived), "{arrived}");
    sim.tun.sort();
    sim.tun.dedup();
    assert_eq!(sim.tun.len(), arrived);
}
