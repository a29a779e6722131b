//! A stock client: boringtun as initiator, with its timers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use mayfly_kit::packets::ipv4_packet;
use mayfly_tunnel::Endpoint;
use x25519_dalek::{PublicKey, StaticSecret};

/// Names a client of a simulation: its place among them, in the order in which they were made.
pub type ClientId = usize;

/// How often a client checks its timers.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// One client.
pub struct Client {
    /// The id of its peer at the node.
    pub peer: u64,
    /// Its own inner address.
    pub ipv4: Ipv4Addr,
    /// Where it is now, as the node sees it, and the address of the node that it sends to.
    pub endpoint: Endpoint,
    /// Whether it receives, sends and ticks.
    pub awake: bool,
    /// Inner packets that came through the tunnel.
    pub received: Vec<Vec<u8>>,
    pub(crate) next_tick: Duration,
    tunn: Tunn,
}

impl Client {
    pub(crate) fn new(number: u8, node: [u8; 32], keepalive: Option<u16>, now: Duration) -> Self {
        Self {
            peer: number.into(),
            ipv4: Self::address(number),
            endpoint: Endpoint {
                remote: SocketAddr::from(([198, 51, 100, number], 1000 + u16::from(number))),
                local: Some(IpAddr::from([192, 0, 2, 1])),
            },
            awake: true,
            received: Vec::new(),
            next_tick: now + TICK,
            tunn: Tunn::new(
                Self::private_key(number),
                PublicKey::from(node),
                Some(Self::preshared_key(number)),
                keepalive,
                u32::from(number),
                None,
            ),
        }
    }

    pub(crate) fn private_key(number: u8) -> StaticSecret {
        StaticSecret::from([number; 32])
    }

    pub(crate) fn preshared_key(number: u8) -> [u8; 32] {
        [number ^ 0xff; 32]
    }

    pub(crate) fn address(number: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 64, 0, number)
    }

    /// A packet of this client to the internet.
    pub fn packet(&self, payload: &[u8]) -> Vec<u8> {
        ipv4_packet(self.ipv4, Ipv4Addr::new(203, 0, 113, 1), payload)
    }

    /// A packet from the internet for this client.
    pub fn answer(&self, payload: &[u8]) -> Vec<u8> {
        ipv4_packet(Ipv4Addr::new(203, 0, 113, 1), self.ipv4, payload)
    }

    /// Takes an inner packet and returns the datagrams to send: an initiation if there is no
    /// session.
    pub(crate) fn send(&mut self, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut room = vec![0; packet.len() + 256];
        datagram(self.tunn.encapsulate(packet, &mut room))
            .into_iter()
            .collect()
    }

    /// Takes a datagram and returns those to send in answer.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut room = vec![0; bytes.len() + 256];
        let mut answers = Vec::new();
        match self.tunn.decapsulate(None, bytes, &mut room) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                self.received.push(packet.to_vec());
            }
            result => answers.extend(datagram(result)),
        }
        while let Some(queued) = self.next_queued() {
            answers.push(queued);
        }
        answers
    }

    /// Does what is due by the client's timers.
    pub(crate) fn tick(&mut self) -> Option<Vec<u8>> {
        self.next_tick += TICK;
        datagram(self.tunn.update_timers(&mut [0; 256]))
    }

    fn next_queued(&mut self) -> Option<Vec<u8>> {
        let mut room = vec![0; 2048];
        datagram(self.tunn.decapsulate(None, &[], &mut room)).filter(|bytes| bytes[0] == 4)
    }
}

/// Somebody who knows the node's public key and has no peer there. What it sends is junk that costs
/// the node a Diffie-Hellman.
pub struct Stranger {
    /// Where it is, as the node sees it.
    pub endpoint: Endpoint,
    tunn: Tunn,
}

impl Stranger {
    /// A stranger at this endpoint, to the node with this public key.
    pub fn new(endpoint: Endpoint, node: [u8; 32]) -> Self {
        let key = StaticSecret::from([0x99; 32]);
        let tunn = Tunn::new(key, PublicKey::from(node), None, None, 0, None);
        Self { endpoint, tunn }
    }

    /// Makes an initiation. Once a cookie was taken, it has the proof of the address.
    pub fn initiation(&mut self) -> Vec<u8> {
        let mut room = [0; 148];
        datagram(self.tunn.format_handshake_initiation(&mut room, true)).unwrap()
    }

    /// Takes the node's cookie.
    pub fn take_cookie(&mut self, cookie: &[u8]) {
        let mut room = [0; 148];
        let answer = self.tunn.decapsulate(None, cookie, &mut room);
        assert!(matches!(answer, TunnResult::Done), "{answer:?}");
    }
}

fn datagram(result: TunnResult<'_>) -> Option<Vec<u8>> {
    match result {
        TunnResult::WriteToNetwork(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}
