//! Floods of handshakes.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use mayfly_sim::packet::{COOKIE, INITIATION, RESPONSE};
use mayfly_sim::{Sim, Stranger, Way};
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
fn junk(sim: &Sim) -> Vec<u8> {
    Stranger::new(source(0), sim.tunnel.public_key()).initiation()
}

#[test]
fn one_loud_source_makes_nobody_else_prove_anything() {
    let (mut sim, client) = Sim::pair();
    let loud = junk(&sim);
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

/// A flood of junk, 5,000 initiations a second, each with another forged source. Beside it,
/// strangers at 40 addresses, each in a /64 of its own of one /58, who take their cookies and send
/// 20 initiations each at the beginning of every second.
struct Flood {
    junk: Vec<u8>,
    forged: u32,
    strangers: Vec<Stranger>,
    proven: Vec<Vec<u8>>,
}

impl Flood {
    const STEP: Duration = Duration::from_millis(50);

    /// The forged sources alone.
    fn forged(sim: &Sim) -> Self {
        Self {
            junk: junk(sim),
            forged: 0,
            strangers: Vec::new(),
            proven: Vec::new(),
        }
    }

    /// All of it, with the cookies.
    fn with_cookies(sim: &mut Sim) -> Self {
        let mut flood = Self::forged(sim);
        flood.step(sim);
        for subnet in 0..40 {
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, 0x40 + subnet, 0, 0, 0, 1);
            let endpoint = Endpoint {
                remote: SocketAddr::from((address, 5555)),
                local: None,
            };
            let mut stranger = Stranger::new(endpoint, sim.tunnel.public_key());
            let unproven = stranger.initiation();
            while sim.inject(endpoint, &unproven) != Err(Refusal::CookieDemanded) {}
            stranger.take_cookie(&sim.wire.last().unwrap().bytes);
            flood.proven.push(stranger.initiation());
            flood.strangers.push(stranger);
        }
        sim.drive(SECOND);
        flood
    }

    /// Lets `seconds` pass. Clients do what they do meanwhile.
    fn run(&mut self, sim: &mut Sim, seconds: u32) {
        for step in 0..seconds * 20 {
            self.step(sim);
            if step % 20 == 0 {
                for (stranger, initiation) in self.strangers.iter().zip(&self.proven) {
                    for _ in 0..20 {
                        let taken = sim.inject(stranger.endpoint, initiation);
                        assert_ne!(taken, Err(Refusal::CookieDemanded), "it has one");
                    }
                }
            }
            sim.drive(Self::STEP);
        }
    }

    fn step(&mut self, sim: &mut Sim) {
        for n in self.forged..self.forged + 250 {
            // Far apart, so that no network is to blame.
            let _ = sim.inject(source(n.wrapping_mul(0x0001_0441)), &self.junk);
        }
        self.forged += 250;
        // What nobody answers would fill the eavesdropper's memory.
        sim.wire.retain(|wire| wire.endpoint.remote.port() != 5555);
    }
}

#[test]
fn under_total_load_a_client_comes_in_by_its_cookie() {
    let (mut sim, client) = Sim::pair();
    let mut flood = Flood::forged(&sim);
    // Until the second's room for unproven ones is used up.
    for _ in 0..10 {
        flood.step(&mut sim);
    }
    sim.send(client, b"first");
    flood.run(&mut sim, 6);

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
fn under_a_flood_of_40_networks_with_cookies_a_client_rekeys_and_loses_nothing() {
    let (mut sim, client) = Sim::pair();
    // boringtun's cookies are good for two minutes of its clock: those of the flood are to last.
    sim.drive(20 * SECOND);
    sim.send(client, b"first");
    sim.drive(115 * SECOND);
    let mut flood = Flood::with_cookies(&mut sim);
    let before = sim.tun.len();
    for n in 0..16_u8 {
        sim.send(client, &[n]);
        assert_eq!(sim.answer(client, &[n]), Ok(()));
        flood.run(&mut sim, 1);
    }
    let here = sim.clients[client].endpoint;
    let responses = sim.seen(Way::Down, RESPONSE).into_iter();
    let rekeyed = responses.filter(|wire| wire.endpoint == here).count();
    assert_eq!(rekeyed, 2, "one more handshake within ten seconds");
    assert_eq!(sim.tun.len() - before, 16);
    assert_eq!(sim.clients[client].received.len(), 16);
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}

#[test]
fn under_a_flood_of_40_networks_with_cookies_95_of_100_newcomers_are_in_within_10_s() {
    let mut sim = Sim::new();
    let newcomers: Vec<_> = (0..100).map(|_| sim.enrol()).collect();
    let mut flood = Flood::with_cookies(&mut sim);
    for &client in &newcomers {
        sim.send(client, b"first");
    }
    flood.run(&mut sim, 10);
    let came_in = newcomers.iter().filter(|&&client| sim.ups(client) == 1);
    assert!(came_in.clone().count() >= 95, "{}", came_in.count());
}

/// 240 rekeys in one second are what 28,800 live peers make.
#[test]
fn the_rekeys_of_24_000_live_peers_cost_none_of_them_a_cookie() {
    let mut sim = Sim::new();
    let clients: Vec<_> = (0..240).map(|_| sim.enrol()).collect();
    for some in clients.chunks(24) {
        some.iter().for_each(|&client| sim.send(client, b"first"));
        sim.drive(SECOND);
    }
    sim.drive(120 * SECOND);
    sim.wire.clear();
    for &client in &clients {
        sim.send(client, b"old enough");
    }
    sim.drive(SECOND);
    assert_eq!(sim.seen(Way::Up, INITIATION).len(), 240);
    assert_eq!(sim.seen(Way::Down, RESPONSE).len(), 240);
    assert_eq!(sim.seen(Way::Down, COOKIE).len(), 0);
    assert!(clients.iter().all(|&client| sim.downs(client) == 0));
}

#[test]
fn a_cookie_is_shorter_than_what_it_answers() {
    let mut sim = Sim::new();
    let loud = junk(&sim);
    for _ in 0..30 {
        let _ = sim.inject(source(7), &loud);
    }
    let cookies = sim.seen(Way::Down, COOKIE);
    assert_eq!(cookies.len(), 10);
    assert!(cookies.iter().all(|wire| wire.bytes.len() < loud.len()));
    assert!(cookies.iter().all(|wire| wire.endpoint == source(7)));
    assert!(sim.seen(Way::Down, INITIATION).is_empty());
}
