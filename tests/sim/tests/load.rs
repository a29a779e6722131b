//! Floods of handshakes.

use std::net::SocketAddr;
use std::time::Duration;

use mayfly_sim::packet::{COOKIE, INITIATION, RESPONSE};
use mayfly_sim::{Sim, Way};
use mayfly_tunnel::{Endpoint, Refusal};

const SECOND: Duration = Duration::from_secs(1);

fn source(n: u32) -> Endpoint {
    let [_, a, b, c] = n.to_be_bytes();
    Endpoint {
        remote: SocketAddr::from(([100, a, b, c], 5555)),
        local: None,
    }
}

/// An initiation whose first MAC is right. Anyone with the node's public key can make one.
fn flood(sim: &mut Sim) -> Vec<u8> {
    let stranger = sim.enrol();
    let initiation = sim.seal(stranger, b"");
    sim.tunnel.remove_peer(sim.clients[stranger].peer);
    sim.clients[stranger].awake = false;
    initiation
}

#[test]
fn one_loud_source_makes_nobody_else_prove_anything() {
    let (mut sim, client) = Sim::pair();
    let loud = flood(&mut sim);
    for n in 0..1_000 {
        let want = if n < 20 {
            Refusal::UnknownPeer
        } else {
            Refusal::CookieDemanded
        };
        assert_eq!(sim.inject(source(7), &loud), Err(want), "{n}");
    }
    sim.send(client, b"quiet");
    sim.drive(SECOND);
    assert_eq!(sim.ups(client), 1);
}

#[test]
fn under_total_load_a_client_comes_in_by_its_cookie() {
    let (mut sim, client) = Sim::pair();
    let loud = flood(&mut sim);
    // Every datagram has another source, and uses up each second's room for unproven ones at once.
    let mut sources = 0..;
    let mut flood_for = |sim: &mut Sim, steps| {
        for _ in 0..steps {
            for n in sources.by_ref().take(250) {
                let _ = sim.inject(source(n), &loud);
            }
            sim.drive(SECOND / 20);
        }
    };
    flood_for(&mut sim, 1);
    sim.wire.clear();
    sim.send(client, b"first");
    flood_for(&mut sim, 120);

    let here = sim.clients[client].endpoint;
    let to_client = |kind| {
        let all = sim.seen(Way::Down, kind);
        all.into_iter().filter(|wire| wire.endpoint == here).count()
    };
    assert_eq!((to_client(COOKIE), to_client(RESPONSE)), (1, 1));
    let initiations = sim.seen(Way::Up, INITIATION);
    let second_mac = |n: usize| &initiations[n].bytes[132..];
    assert_eq!(initiations.len(), 2);
    assert_eq!(second_mac(0), [0; 16]);
    assert_ne!(second_mac(1), [0; 16]);
    assert_eq!(sim.ups(client), 1);
}

#[test]
fn a_cookie_is_shorter_than_what_it_answers() {
    let mut sim = Sim::new();
    let loud = flood(&mut sim);
    for _ in 0..30 {
        let _ = sim.inject(source(7), &loud);
    }
    let cookies = sim.seen(Way::Down, COOKIE);
    assert_eq!(cookies.len(), 10);
    assert!(cookies.iter().all(|wire| wire.bytes.len() < loud.len()));
    assert!(cookies.iter().all(|wire| wire.endpoint == source(7)));
    assert!(sim.seen(Way::Down, INITIATION).is_empty());
}
