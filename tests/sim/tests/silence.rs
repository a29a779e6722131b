//! How a session ends, and what is left of it.

use std::time::Duration;

use mayfly_sim::{Sim, Way, packet};
use mayfly_tunnel::{Event, Refusal};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn silence_of_180_s_ends_a_session_once() {
    let (mut sim, client) = Sim::connected();
    sim.clients[client].awake = false;
    sim.drive(3_600 * SECOND);
    let (up, down) = (sim.events[0], sim.events[1]);
    assert_eq!(up.1, Event::SessionUp(sim.clients[client].peer));
    assert_eq!(down.1, Event::SessionDown(sim.clients[client].peer));
    let silence = down.0 - up.0;
    assert!(
        (180 * SECOND..181 * SECOND).contains(&silence),
        "{silence:?}"
    );
    assert_eq!(sim.events.len(), 2);
}

#[test]
fn a_session_over_by_a_moment_is_over_though_no_tick_has_come() {
    let (mut sim, client) = Sim::connected();
    sim.clients[client].awake = false;
    let heard = sim.events[0].0;
    // Between two ticks of the node.
    let late = heard + 180 * SECOND + Duration::from_millis(1);
    sim.drive(late - sim.elapsed());
    assert_eq!(sim.downs(client), 0);
    assert_eq!(sim.answer(client, b"late"), Err(Refusal::NoSession));
    assert_eq!(sim.downs(client), 1);
}

#[test]
fn keepalives_are_signs_of_life() {
    let mut sim = Sim::new();
    let client = sim.enrol_with_keepalive(Some(25));
    sim.send(client, b"first");
    sim.drive(3_600 * SECOND);
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}

#[test]
fn an_idle_peer_is_sent_nothing_and_nothing_waits_for_it() {
    let (mut sim, client) = Sim::connected();
    sim.sleep(client, 200 * SECOND);
    let before = sim.wire.len();
    for _ in 0..1_000 {
        assert_eq!(sim.answer(client, b"noise"), Err(Refusal::NoSession));
    }
    sim.drive(600 * SECOND);
    assert_eq!(sim.wire.len(), before);
    sim.clients[client].awake = true;
    sim.send(client, b"back");
    sim.drive(SECOND);
    assert!(
        sim.clients[client].received.is_empty(),
        "the noise was not kept for it"
    );
}

#[test]
fn a_node_without_sessions_waits_for_nothing() {
    let mut sim = Sim::new();
    for _ in 0..200 {
        sim.enrol();
    }
    assert_eq!(sim.tunnel.poll_timeout(), None);
    sim.send(0, b"first");
    sim.drive(SECOND);
    assert!(sim.tunnel.poll_timeout().is_some());
    sim.clients
        .iter_mut()
        .for_each(|client| client.awake = false);
    sim.drive(200 * SECOND);
    assert_eq!(sim.tunnel.poll_timeout(), None);
}

#[test]
fn a_live_peer_that_said_nothing_new_is_sent_nothing() {
    let (mut sim, client) = Sim::connected();
    sim.drive(12 * SECOND);
    let before = sim.seen(Way::Down, packet::TRANSPORT).len();
    sim.drive(100 * SECOND);
    assert_eq!(sim.seen(Way::Down, packet::TRANSPORT).len(), before);
    assert_eq!(sim.downs(client), 0);
}

#[test]
fn data_without_an_answer_is_acknowledged_by_one_keepalive_after_10_s() {
    // This must hold wherever the node's ticks fall: if it sends and then receives data between two
    // of them, boringtun by itself sees no data to acknowledge.
    for phase in 0..10 {
        let (mut sim, client) = Sim::connected();
        sim.drive(phase * SECOND / 10);
        sim.answer(client, b"last answer").unwrap();
        sim.drive(Duration::from_millis(30));
        sim.send(client, b"acknowledged by nobody");
        let sent = sim.elapsed();
        sim.wire.clear();
        sim.drive(60 * SECOND);
        let answers = sim.seen(Way::Down, packet::TRANSPORT);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].bytes.len(), packet::KEEPALIVE_LEN);
        let after = answers[0].at - sent;
        assert!(after > 99 * SECOND / 10, "{after:?}");
        assert!(after < 11 * SECOND, "a tick later, {after:?}");
        assert!(
            sim.seen(Way::Up, packet::INITIATION).is_empty(),
            "the client had no doubt"
        );
    }
}

#[test]
fn a_command_ends_a_session_at_once_and_only_once() {
    let (mut sim, client) = Sim::connected();
    let peer = sim.clients[client].peer;
    sim.tunnel.end_session(peer);
    sim.tunnel.end_session(peer);
    sim.collect_events();
    assert_eq!(sim.downs(client), 1);
    sim.tunnel.remove_peer(peer);
    sim.tunnel.remove_peer(peer);
    sim.drive(300 * SECOND);
    assert_eq!(sim.downs(client), 1);
    assert_eq!(sim.answer(client, b"gone"), Err(Refusal::NoSuchAddress));
}

#[test]
fn removing_a_live_peer_ends_its_session() {
    let (mut sim, client) = Sim::connected();
    sim.tunnel.remove_peer(sim.clients[client].peer);
    sim.collect_events();
    assert_eq!(sim.downs(client), 1);
    sim.send(client, b"still there?");
    sim.drive(60 * SECOND);
    assert!(
        sim.refusals
            .iter()
            .any(|(_, refusal)| *refusal == Refusal::UnknownIndex)
    );
    assert!(
        sim.refusals
            .iter()
            .any(|(_, refusal)| *refusal == Refusal::UnknownPeer)
    );
    assert_eq!(sim.ups(client), 1);
}
