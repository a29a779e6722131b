//! The network between a tunnel and its clients, and the clock of both.

use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use mayfly_tunnel::{
    Config, Ecn, Endpoint, Event, FRAME_HEADER, Frame, Outbox, PeerConfig, Prefix, Refusal,
    Responder, Tunnel,
};
use mock_instant::MockClock;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use x25519_dalek::PublicKey;
use zeroize::Zeroizing;

use crate::client::{Client, ClientId};

/// The direction of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From a client to the node.
    Up,
    /// From the node to a client.
    Down,
}

/// A datagram that an eavesdropper saw.
#[derive(Clone)]
pub struct Wire {
    /// When it was sent.
    pub at: Duration,
    /// Its direction.
    pub way: Way,
    /// The client's endpoint, as the node sees it.
    pub endpoint: Endpoint,
    /// The UDP payload.
    pub bytes: Vec<u8>,
}

impl Wire {
    /// The WireGuard message type.
    pub fn kind(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }
}

/// A node's tunnel, its clients and the network between.
pub struct Sim {
    /// The node.
    pub tunnel: Tunnel<u64>,
    responder: Responder<u64>,
    /// The clients, by [`ClientId`].
    pub clients: Vec<Client>,
    /// How long a datagram takes to arrive.
    pub latency: Duration,
    /// Percentage of datagrams that do not arrive.
    pub loss: u32,
    /// Every datagram that was sent, lost or not.
    pub wire: Vec<Wire>,
    /// Packets that came out at the node's TUN device.
    pub tun: Vec<Vec<u8>>,
    /// The events for the counter, and when each came.
    pub events: Vec<(Duration, Event<u64>)>,
    /// What the node refused, and when.
    pub refusals: Vec<(Duration, Refusal)>,
    start: Instant,
    elapsed: Duration,
    random: ChaCha20Rng,
    out: Outbox,
    in_flight: Vec<(Duration, Wire)>,
}

impl Sim {
    /// A node without clients, and a network of 20 ms without loss.
    pub fn new() -> Self {
        MockClock::set_time(Duration::ZERO);
        let config = Config {
            // No client has this number.
            private_key: Zeroizing::new([1; 32]),
            mtu: 1420,
            ipv4: [10, 64, 0, 1].into(),
            ipv6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
            pools: Prefix::new(IpAddr::from([10, 64, 0, 0]), 16)
                .into_iter()
                .collect(),
            processors: 1,
        };
        let (mut tunnels, responder) = Tunnel::sharded(&config, [1; 32], 1);
        Self {
            tunnel: tunnels.remove(0),
            responder,
            clients: Vec::new(),
            latency: Duration::from_millis(20),
            loss: 0,
            wire: Vec::new(),
            tun: Vec::new(),
            events: Vec::new(),
            refusals: Vec::new(),
            start: Instant::now(),
            elapsed: Duration::ZERO,
            random: ChaCha20Rng::from_seed([2; 32]),
            out: Outbox::new(),
            in_flight: Vec::new(),
        }
    }

    /// A node with one client that is enrolled and has never connected.
    pub fn pair() -> (Self, ClientId) {
        let mut sim = Self::new();
        let client = sim.enrol();
        (sim, client)
    }

    /// A node with one client whose session is up.
    pub fn connected() -> (Self, ClientId) {
        let (mut sim, client) = Self::pair();
        sim.send(client, b"first");
        sim.drive(Duration::from_secs(1));
        assert_eq!(sim.ups(client), 1);
        (sim, client)
    }

    /// Enrols one more client.
    pub fn enrol(&mut self) -> ClientId {
        self.enrol_with_keepalive(None)
    }

    /// Enrols one more client, with a persistent keepalive of `keepalive` seconds.
    pub fn enrol_with_keepalive(&mut self, keepalive: Option<u16>) -> ClientId {
        let number = u8::try_from(self.clients.len() + 2).unwrap();
        let config = PeerConfig {
            public_key: PublicKey::from(&Client::private_key(number)).to_bytes(),
            preshared_key: Zeroizing::new(Client::preshared_key(number)),
            ipv4: Client::address(number),
            ipv6: None,
        };
        self.tunnel.add_peer(number.into(), config).unwrap();
        let node = self.tunnel.public_key();
        self.clients
            .push(Client::new(number, node, keepalive, self.elapsed));
        self.clients.len() - 1
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// Lets `time` pass, with everything that happens in it.
    pub fn drive(&mut self, time: Duration) {
        let end = self.elapsed + time;
        while let Some(due) = self.next_due().filter(|&due| due <= end) {
            self.advance(due);
            self.arrive();
            self.tick_clients();
            self.tick_node();
        }
        self.advance(end);
    }

    /// A client sends a packet with this payload to the internet.
    pub fn send(&mut self, client: ClientId, payload: &[u8]) {
        let client = &mut self.clients[client];
        let datagrams = client.send(&client.packet(payload));
        let endpoint = client.endpoint;
        self.launch_all(Way::Up, endpoint, datagrams);
    }

    /// A client seals a packet with this payload. The test gets the datagram, and the network does
    /// not.
    pub fn seal(&mut self, client: ClientId, payload: &[u8]) -> Vec<u8> {
        let client = &mut self.clients[client];
        let datagrams = client.send(&client.packet(payload));
        datagrams.into_iter().next().unwrap()
    }

    /// The internet sends a packet with this payload to a client.
    ///
    /// # Errors
    /// Why the node dropped it.
    pub fn answer(&mut self, client: ClientId, payload: &[u8]) -> Result<(), Refusal> {
        let packet = self.clients[client].answer(payload);
        let now = self.now();
        let mut frame = Frame::new();
        frame.room()[FRAME_HEADER..][..packet.len()].copy_from_slice(&packet);
        frame.fill(FRAME_HEADER + packet.len());
        let result = self.tunnel.handle_frame(&mut frame, &mut self.out, now);
        self.carry_out();
        result
    }

    /// A datagram arrives at the node at once, as if it came from this endpoint.
    ///
    /// # Errors
    /// Why the node dropped it.
    pub fn inject(&mut self, endpoint: Endpoint, bytes: &[u8]) -> Result<(), Refusal> {
        let now = self.now();
        let taken = self.tunnel.handle_datagram(
            endpoint,
            Ecn::NotEct,
            &mut bytes.to_vec(),
            &mut self.out,
            now,
        );
        let answered = self.handle_jobs();
        self.carry_out();
        taken.and(answered)
    }

    /// The responder does the tunnel's jobs at once.
    fn handle_jobs(&mut self) -> Result<(), Refusal> {
        let now = self.now();
        let mut result = Ok(());
        while let Some(job) = self.tunnel.poll_job() {
            let reply = self.responder.handle_job(job, &mut self.out, now);
            let taken = reply.and_then(|reply| match reply {
                Some(reply) => self.tunnel.handle_reply(reply, &mut self.out, now),
                None => Ok(()),
            });
            result = result.and(taken);
        }
        result
    }

    /// The datagrams of one type in one direction that an eavesdropper saw.
    pub fn seen(&self, way: Way, kind: u8) -> Vec<&Wire> {
        self.wire
            .iter()
            .filter(|wire| wire.way == way && wire.kind() == kind)
            .collect()
    }

    /// How often a client's session came up.
    pub fn ups(&self, client: ClientId) -> usize {
        self.count(Event::SessionUp(self.clients[client].peer))
    }

    /// How often it went down.
    pub fn downs(&self, client: ClientId) -> usize {
        self.count(Event::SessionDown(self.clients[client].peer))
    }

    /// A client sleeps for `time`: it receives and sends nothing. When it wakes up, it checks its
    /// timers.
    pub fn sleep(&mut self, client: ClientId, time: Duration) {
        self.clients[client].awake = false;
        self.drive(time);
        self.clients[client].awake = true;
        self.clients[client].next_tick = self.elapsed;
        self.drive(Duration::ZERO);
    }

    /// Collects the events of a command or an injected datagram.
    pub fn collect_events(&mut self) {
        while let Some(event) = self.tunnel.poll_event() {
            self.events.push((self.elapsed, event));
        }
    }

    fn count(&self, wanted: Event<u64>) -> usize {
        self.events
            .iter()
            .filter(|(_, event)| *event == wanted)
            .count()
    }

    fn now(&self) -> Instant {
        self.start + self.elapsed
    }

    fn advance(&mut self, to: Duration) {
        self.elapsed = self.elapsed.max(to);
        MockClock::set_time(self.elapsed);
    }

    fn next_due(&self) -> Option<Duration> {
        let arrivals = self.in_flight.iter().map(|(at, _)| *at);
        let ticks = self
            .clients
            .iter()
            .filter(|client| client.awake)
            .map(|client| client.next_tick);
        let node = [self.tunnel.poll_timeout(), self.responder.poll_timeout()];
        let node = node.into_iter().flatten().map(|at| at - self.start);
        arrivals.chain(ticks).chain(node).min()
    }

    fn arrive(&mut self) {
        while let Some(at) = self
            .in_flight
            .iter()
            .position(|(at, _)| *at <= self.elapsed)
        {
            let (_, wire) = self.in_flight.remove(at);
            match wire.way {
                Way::Up => self.arrive_at_node(&wire),
                Way::Down => self.arrive_at_client(&wire),
            }
        }
    }

    fn arrive_at_node(&mut self, wire: &Wire) {
        if let Err(refusal) = self.inject(wire.endpoint, &wire.bytes) {
            self.refusals.push((self.elapsed, refusal));
        }
    }

    fn arrive_at_client(&mut self, wire: &Wire) {
        let here = |client: &&mut Client| client.awake && client.endpoint == wire.endpoint;
        let Some(client) = self.clients.iter_mut().find(here) else {
            return;
        };
        let answers = client.receive(&wire.bytes);
        let endpoint = client.endpoint;
        self.launch_all(Way::Up, endpoint, answers);
    }

    fn tick_clients(&mut self) {
        for at in 0..self.clients.len() {
            let client = &mut self.clients[at];
            if client.awake && client.next_tick <= self.elapsed {
                let (endpoint, datagram) = (client.endpoint, client.tick());
                self.launch_all(Way::Up, endpoint, datagram);
            }
        }
    }

    fn tick_node(&mut self) {
        let now = self.now();
        if self.tunnel.poll_timeout().is_some_and(|due| due <= now) {
            self.tunnel.handle_timeout(now, &mut self.out);
            self.carry_out();
        }
        if self.responder.poll_timeout().is_some_and(|due| due <= now) {
            self.responder.handle_timeout(now);
        }
    }

    fn carry_out(&mut self) {
        let datagrams: Vec<_> = self
            .out
            .datagrams()
            .map(|datagram| (datagram.endpoint, datagram.bytes.to_vec()))
            .collect();
        self.tun.extend(self.out.packets().map(<[u8]>::to_vec));
        self.out.clear();
        for (endpoint, bytes) in datagrams {
            self.launch(Way::Down, endpoint, bytes);
        }
        self.collect_events();
    }

    fn launch_all(&mut self, way: Way, endpoint: Endpoint, all: impl IntoIterator<Item = Vec<u8>>) {
        for bytes in all {
            self.launch(way, endpoint, bytes);
        }
    }

    fn launch(&mut self, way: Way, endpoint: Endpoint, bytes: Vec<u8>) {
        let wire = Wire {
            at: self.elapsed,
            way,
            endpoint,
            bytes,
        };
        self.wire.push(wire.clone());
        if self.random.next_u32() % 100 >= self.loss {
            self.in_flight.push((self.elapsed + self.latency, wire));
        }
    }
}

impl Default for Sim {
    fn default() -> Self {
        Self::new()
    }
}
