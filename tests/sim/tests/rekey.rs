//! The age limits of keys: 120 s and 180 s.

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
    // While it is asleep its timers do not rekey, so it seals with the first keys.
    sim.clients[client].awake = false;
    let endpoint = sim.clients[client].endpoint;
    sim.drive(170 * SECOND);
    let in_time = sim.seal(client, b"171 s");
    let too_late = sim.seal(client, b"185 s");
    assert_eq!(sim.inject(endpoint, &in_time), Ok(()));
    assert_eq!(sim.answer(client, b"171 s"), Ok(()));
    sim.drive(14 * SECOND);
    assert_eq!(sim.inject(endpoint, &too_late), Err(Refusal::UnknownIndex));
    assert_eq!(sim.answer(client, b"185 s"), Err(Refusal::NoSession));
    assert_eq!(
        sim.downs(client),
        0,
        "it was heard 14 s ago: the session counts, though its keys are gone"
    );
}

#[test]
fn keys_are_refused_from_180_s_on_though_no_tick_has_come() {
    let (mut sim, _) = Sim::connected();
    // The node's ticks began with the first client; this one comes between them.
    sim.drive(Duration::from_millis(10));
    let client = sim.enrol();
    sim.send(client, b"first");
    sim.drive(SECOND);
    sim.clients[client].awake = false;
    let endpoint = sim.clients[client].endpoint;
    let answered = sim.seen(Way::Down, RESPONSE)[1].at;
    let first = sim.seal(client, b"in time");
    let second = sim.seal(client, b"too late");
    let moment = Duration::from_millis(1);
    sim.drive(answered + 180 * SECOND - moment - sim.elapsed());
    assert_eq!(sim.inject(endpoint, &first), Ok(()));
    assert_eq!(sim.answer(client, b"in time"), Ok(()));
    sim.drive(moment);
    assert_eq!(sim.inject(endpoint, &second), Err(Refusal::NotAuthentic));
    assert_eq!(sim.answer(client, b"too late"), Err(Refusal::NoSession));
    assert_eq!(sim.downs(client), 0);
}

/// A session that is 120 s old, and the client's next packet under its first keys, which does not
/// arrive by itself.
fn about_to_rekey() -> (Sim, usize, Vec<u8>) {
    let (mut sim, client) = Sim::connected();
    sim.drive(120 * SECOND);
    let caught = sim.seal(client, b"caught");
    (sim, client, caught)
}

#[test]
fn a_packet_under_the_old_keys_that_the_first_under_the_new_overtook_is_taken() {
    let (mut sim, client, caught) = about_to_rekey();
    sim.send(client, b"old enough");
    // The client's next tick, and a handshake.
    while sim.seen(Way::Down, RESPONSE).len() == 1 {
        sim.drive(Duration::from_millis(5));
    }
    // The response arrives, and then the client's keepalive under the new keys.
    sim.drive(Duration::from_millis(40));
    let endpoint = sim.clients[client].endpoint;
    assert_eq!(sim.inject(endpoint, &caught), Ok(()));
    assert_eq!(sim.tun.last(), Some(&sim.clients[client].packet(b"caught")));
    sim.drive(SECOND);
    let again = sim.seen(Way::Up, INITIATION)[0].bytes.clone();
    assert_eq!(sim.inject(endpoint, &again), Err(Refusal::Handshake));
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}

/// The node ticks a session once a second from its beginning on, and the client makes its handshakes
/// at ticks of its own.
#[test]
fn a_packet_under_the_old_keys_that_comes_600_ms_late_is_taken_at_any_phase_of_the_ticks() {
    for phase in 0..10 {
        let (mut sim, client) = Sim::pair();
        sim.send(client, b"first");
        sim.drive(121 * SECOND + phase * SECOND / 10);
        let caught = sim.seal(client, b"caught");
        sim.send(client, b"old enough");
        let here = sim.clients[client].endpoint;
        let responses = |sim: &Sim| {
            let all = sim.seen(Way::Down, RESPONSE).into_iter();
            all.filter(|wire| wire.endpoint == here).count()
        };
        while responses(&sim) == 1 {
            sim.drive(Duration::from_millis(5));
        }
        // The response arrives, and then the client's keepalive under the new keys.
        sim.drive(Duration::from_millis(40 + 600));
        assert_eq!(sim.inject(here, &caught), Ok(()), "phase {phase}");
        assert_eq!(sim.tun.last(), Some(&sim.clients[client].packet(b"caught")));
        assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
    }
}

#[test]
fn the_old_keys_are_gone_some_ten_seconds_after_a_rekey() {
    let (mut sim, client, caught) = about_to_rekey();
    sim.send(client, b"old enough");
    sim.drive(9 * SECOND);
    let endpoint = sim.clients[client].endpoint;
    let forged = |caught: &[u8]| {
        let mut forged = caught.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        forged
    };
    let refused = sim.inject(endpoint, &forged(&caught));
    assert_eq!(refused, Err(Refusal::NotAuthentic), "there are keys");
    sim.drive(4 * SECOND);
    let refused = sim.inject(endpoint, &caught);
    assert_eq!(refused, Err(Refusal::UnknownIndex), "there are none");
}

#[test]
fn the_old_keys_serve_until_the_peer_uses_the_new_ones() {
    let (mut sim, client, _) = about_to_rekey();
    sim.send(client, b"old enough");
    sim.loss = 100;
    sim.drive(SECOND);
    let (endpoint, initiation) = {
        let sent = sim.seen(Way::Up, INITIATION).last().unwrap().bytes.clone();
        (sim.clients[client].endpoint, sent)
    };
    assert_eq!(sim.inject(endpoint, &initiation), Ok(()));
    let receiver = |sim: &mut Sim| {
        sim.answer(client, b"which keys?").unwrap();
        let bytes = &sim.wire.last().unwrap().bytes;
        u32::from_le_bytes(bytes[4..8].try_into().unwrap())
    };
    let old = receiver(&mut sim);
    assert_eq!(receiver(&mut sim), old, "the answer was lost");
    sim.loss = 0;
    sim.drive(10 * SECOND);
    assert_eq!(sim.seen(Way::Up, INITIATION).len(), 3);
    assert_ne!(receiver(&mut sim), old);
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}

#[test]
fn recordings_do_not_disturb_a_handshake_that_is_under_way() {
    let (mut sim, client, _) = about_to_rekey();
    let endpoint = sim.clients[client].endpoint;
    let recorded = sim.seen(Way::Up, INITIATION)[0].bytes.clone();
    sim.send(client, b"old enough");
    for _ in 0..200 {
        let replayed = sim.inject(endpoint, &recorded);
        assert!(matches!(
            replayed,
            Err(Refusal::Handshake | Refusal::CookieDemanded)
        ));
        sim.drive(Duration::from_millis(5));
    }
    assert_eq!(sim.seen(Way::Up, INITIATION).len(), 2);
    assert_eq!(sim.seen(Way::Down, RESPONSE).len(), 2);
    sim.send(client, b"under the new keys");
    sim.drive(SECOND);
    let arrived = sim.clients[client].packet(b"under the new keys");
    assert_eq!(sim.tun.last(), Some(&arrived));
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
    // boringtun drops all sessions 90 s after an initiation that is not answered.
    let (endpoint, datagram) = (sim.clients[client].endpoint, sim.seal(client, b"back"));
    assert_eq!(sim.inject(endpoint, &datagram), Ok(()));
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}
