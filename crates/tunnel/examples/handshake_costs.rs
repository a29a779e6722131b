//! What an initiation costs the handshake thread, by how far it gets. The limits of handshakes
//! (`crates/tunnel/src/handshake/limiter.rs`) bill each initiation by these figures.
//!
//! ```text
//! cargo run --release -p mayfly-tunnel --example handshake_costs
//! ```

#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "it prints figures, and has no other way to fail"
)]

use std::net::{Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use boringtun::noise::{Tunn, TunnResult};
use mayfly_tunnel::{
    Config, Ecn, Endpoint, HandshakeJob, Outbox, PeerConfig, Refusal, Responder, Tunnel,
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Initiations of each kind that are measured.
const COUNT: u32 = 2_000;
const PRESHARED_KEY: [u8; 32] = [3; 32];

struct Node {
    tunnel: Tunnel<u32>,
    responder: Responder<u32>,
    out: Outbox,
    /// Simulated, so that every initiation has a second of its own and meets no limit.
    now: Instant,
}

fn main() {
    let mut node = Node::new();
    let stranger = initiation(&mut client(&node, 9));
    let mut wrong_mac = stranger.clone();
    wrong_mac[100] ^= 1;
    let second = Duration::from_secs(1);
    let unknown = node.measure(second, |_| (stranger.clone(), Some(Refusal::UnknownPeer)));
    let mac = node.measure(second, |_| (wrong_mac.clone(), Some(Refusal::Mac1)));
    for _ in 0..100_000 {
        let _ = node.take(stranger.clone(), endpoint(7));
    }
    let cookie = node.measure(Duration::ZERO, |_| {
        (stranger.clone(), Some(Refusal::CookieDemanded))
    });
    let mut known = client(&node, 2);
    node.now += second;
    let answer = node.measure(second, |_| {
        // The resolution of a time stamp: it must be newer than the one before.
        std::thread::sleep(Duration::from_micros(10));
        (initiation(&mut known), None)
    });
    println!("wrong first MAC   {mac:6.2} us");
    println!("cookie demanded   {cookie:6.2} us");
    println!("unknown key       {unknown:6.2} us");
    println!("answer            {answer:6.2} us");
}

impl Node {
    fn new() -> Self {
        let config = Config {
            private_key: Zeroizing::new([1; 32]),
            mtu: 1420,
            ipv4: [10, 64, 0, 1].into(),
            ipv6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
            pools: Vec::new(),
            processors: 2,
        };
        let (mut tunnels, responder) = Tunnel::sharded(&config, [4; 32], 1);
        let mut node = Self {
            tunnel: tunnels.remove(0),
            responder,
            out: Outbox::new(),
            now: Instant::now(),
        };
        let peer = PeerConfig {
            public_key: PublicKey::from(&secret(2)).to_bytes(),
            preshared_key: Zeroizing::new(PRESHARED_KEY),
            ipv4: [10, 64, 0, 2].into(),
            ipv6: None,
        };
        let added = node.tunnel.add_peer(2, peer);
        added.expect("no other peer has the address");
        while let Some(job) = node.tunnel.poll_job() {
            let _ = node.responder.handle_job(job, &mut node.out, node.now);
        }
        node
    }

    /// Microseconds of the responder for each initiation that `make` makes, with `step` between.
    fn measure(
        &mut self,
        step: Duration,
        mut make: impl FnMut(u32) -> (Vec<u8>, Option<Refusal>),
    ) -> f64 {
        let mut spent = Duration::ZERO;
        for n in 0..COUNT {
            let (bytes, want) = make(n);
            let (took, refusal) = self.take(bytes, endpoint(7));
            assert_eq!(refusal, want);
            spent += took;
            self.now += step;
        }
        spent.as_secs_f64() * 1e6 / f64::from(COUNT)
    }

    fn take(&mut self, mut bytes: Vec<u8>, from: Endpoint) -> (Duration, Option<Refusal>) {
        let taken =
            self.tunnel
                .handle_datagram(from, Ecn::NotEct, &mut bytes, &mut self.out, self.now);
        assert_eq!(taken, Ok(()));
        let job = self.tunnel.poll_job();
        let Some(job @ HandshakeJob::Answer(_)) = job else {
            panic!("an initiation is a job");
        };
        let start = Instant::now();
        let reply = self.responder.handle_job(job, &mut self.out, self.now);
        let took = start.elapsed();
        self.out.clear();
        (took, reply.err())
    }
}

fn secret(number: u8) -> StaticSecret {
    StaticSecret::from([number; 32])
}

fn client(node: &Node, number: u8) -> Tunn {
    let key = PublicKey::from(node.tunnel.public_key());
    Tunn::new(secret(number), key, Some(PRESHARED_KEY), None, 0, None)
}

fn endpoint(last: u8) -> Endpoint {
    Endpoint {
        remote: SocketAddr::from(([198, 51, 100, last], 51_820)),
        local: None,
    }
}

fn initiation(client: &mut Tunn) -> Vec<u8> {
    match client.format_handshake_initiation(&mut [0; 148], true) {
        TunnResult::WriteToNetwork(bytes) => bytes.to_vec(),
        _ => panic!("a client can always begin"),
    }
}
