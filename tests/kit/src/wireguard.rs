//! A node's tunnel, with stock clients and evil ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use blake2::digest::{FixedOutput as _, KeyInit as _, Update as _};
use blake2::{Blake2s256, Blake2sMac, Digest as _, digest::consts::U16};
use boringtun::noise::{Tunn, TunnResult};
use mayfly_tunnel::{
    Config, Ecn, Endpoint, Event, FRAME_HEADER, Frame, Outbox, PeerConfig, Prefix, Refusal,
    Responder, Tunnel,
};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

pub use crate::packets::{ipv4_packet, ipv6_packet};

/// MTU of the inner network.
pub const MTU: u16 = 1420;
/// The node's inner IPv4 address.
pub const NODE_IPV4: Ipv4Addr = Ipv4Addr::new(10, 64, 0, 1);
/// The node's inner IPv6 address.
pub const NODE_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
/// An address beyond the node.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);

/// A node's tunnel with its responder and outbox. Its time stands still unless a test moves it.
pub struct Node {
    /// The only shard.
    pub tunnel: Tunnel<u64>,
    /// Its responder.
    pub responder: Responder<u64>,
    /// The outbox of both.
    pub out: Outbox,
    /// The time.
    pub now: Instant,
    /// How many peers were enrolled, which is also the last id.
    pub enrolled: u64,
}

impl Node {
    /// A node without peers.
    #[allow(
        clippy::new_without_default,
        reason = "a default would not say that it has keys"
    )]
    pub fn new() -> Self {
        let pools = [
            Prefix::new(IpAddr::from([10, 64, 0, 0]), 16).unwrap(),
            Prefix::new(IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0)), 64).unwrap(),
        ];
        let config = Config {
            private_key: Zeroizing::new([0xee; 32]),
            mtu: MTU,
            ipv4: NODE_IPV4,
            ipv6: NODE_IPV6,
            pools: pools.to_vec(),
            processors: 2,
        };
        let (mut tunnels, responder) = Tunnel::sharded(&config, [1; 32], 1);
        Self {
            tunnel: tunnels.remove(0),
            responder,
            out: Outbox::new(),
            now: Instant::now(),
            enrolled: 0,
        }
    }

    /// Enrols peer `number`, with IPv6 if `ipv6`.
    pub fn enrol(&mut self, number: u8, ipv6: bool) -> u64 {
        self.add(peer_config(number, ipv6)).unwrap()
    }

    /// Enrols any peer, and returns its id.
    pub fn add(&mut self, config: PeerConfig) -> Result<u64, Refusal> {
        self.enrolled += 1;
        let id = self.enrolled;
        self.tunnel.add_peer(id, config).unwrap();
        self.handle_jobs().map(|()| id)
    }

    /// Does what the packet thread and the handshake thread of a node do in turn.
    pub fn handle_jobs(&mut self) -> Result<(), Refusal> {
        let mut result = Ok(());
        while let Some(job) = self.tunnel.poll_job() {
            let reply = self.responder.handle_job(job, &mut self.out, self.now);
            let taken = reply.and_then(|reply| match reply {
                Some(reply) => self.tunnel.handle_reply(reply, &mut self.out, self.now),
                None => Ok(()),
            });
            result = result.and(taken);
        }
        result
    }

    /// Hands in a datagram from a client's own endpoint.
    pub fn take(&mut self, number: u8, bytes: &[u8]) -> Result<(), Refusal> {
        self.take_from(endpoint(number), bytes)
    }

    /// Hands in a datagram from any endpoint.
    pub fn take_from(&mut self, endpoint: Endpoint, bytes: &[u8]) -> Result<(), Refusal> {
        self.take_as(endpoint, Ecn::NotEct, bytes)
    }

    /// Hands in a datagram from a client's own endpoint, with the ECN field `ecn`.
    pub fn take_marked(&mut self, number: u8, ecn: Ecn, bytes: &[u8]) -> Result<(), Refusal> {
        self.take_as(endpoint(number), ecn, bytes)
    }

    fn take_as(&mut self, endpoint: Endpoint, ecn: Ecn, bytes: &[u8]) -> Result<(), Refusal> {
        let mut bytes = bytes.to_vec();
        self.tunnel
            .handle_datagram(endpoint, ecn, &mut bytes, &mut self.out, self.now)?;
        self.handle_jobs()
    }

    /// Hands in a packet from the TUN device.
    pub fn send(&mut self, packet: &[u8]) -> Result<(), Refusal> {
        let mut frame = Frame::new();
        frame.room()[FRAME_HEADER..][..packet.len()].copy_from_slice(packet);
        frame.fill(FRAME_HEADER + packet.len());
        self.tunnel
            .handle_frame(&mut frame, &mut self.out, self.now)
    }

    /// Takes the datagrams and packets out of the outbox.
    pub fn outbox(&mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let datagrams = self
            .out
            .datagrams()
            .map(|datagram| datagram.bytes.to_vec())
            .collect();
        let packets = self.out.packets().map(<[u8]>::to_vec).collect();
        self.out.clear();
        (datagrams, packets)
    }

    /// Takes the datagrams out of the outbox, and drops the packets.
    pub fn datagrams(&mut self) -> Vec<Vec<u8>> {
        self.outbox().0
    }

    /// Takes the packets out of the outbox, and drops the datagrams.
    pub fn packets(&mut self) -> Vec<Vec<u8>> {
        self.outbox().1
    }

    /// Takes the tunnel's events.
    pub fn events(&mut self) -> Vec<Event<u64>> {
        std::iter::from_fn(|| self.tunnel.poll_event()).collect()
    }

    /// A stock client whose session is up.
    pub fn connect(&mut self, number: u8) -> Client {
        self.out.clear();
        let mut client = Client::new(number, self.tunnel.public_key());
        self.take(number, &client.initiation()).unwrap();
        let response = self.datagrams().remove(0);
        let keepalive = client.take(&response).unwrap();
        self.take(number, &keepalive).unwrap();
        client
    }
}

/// The private key of client `number`.
pub fn private_key(number: u8) -> StaticSecret {
    StaticSecret::from([number; 32])
}

/// The pre-shared key of client `number`.
pub fn preshared_key(number: u8) -> [u8; 32] {
    [!number; 32]
}

/// The inner IPv4 address of client `number`.
pub fn ipv4(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 64, 0, number)
}

/// The inner IPv6 address of client `number`.
pub fn ipv6(number: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into())
}

/// The endpoint of client `number`.
pub fn endpoint(number: u8) -> Endpoint {
    Endpoint {
        remote: SocketAddr::from(([198, 51, 100, number], 51_820)),
        local: None,
    }
}

/// Client `number`, as a node enrols it.
pub fn peer_config(number: u8, with_ipv6: bool) -> PeerConfig {
    PeerConfig {
        public_key: PublicKey::from(&private_key(number)).to_bytes(),
        preshared_key: Zeroizing::new(preshared_key(number)),
        ipv4: ipv4(number),
        ipv6: with_ipv6.then(|| ipv6(number)),
    }
}

/// A stock client.
pub struct Client(pub Tunn);

impl Client {
    /// Client `number` of the node with this public key.
    pub fn new(number: u8, node: [u8; 32]) -> Self {
        let psk = Some(preshared_key(number));
        Self(Tunn::new(
            private_key(number),
            node.into(),
            psk,
            None,
            number.into(),
            None,
        ))
    }

    /// Makes a handshake initiation.
    pub fn initiation(&mut self) -> Vec<u8> {
        written(self.0.format_handshake_initiation(&mut [0; 148], true)).unwrap()
    }

    /// Seals any bytes.
    pub fn seal(&mut self, inside: &[u8]) -> Vec<u8> {
        let mut room = vec![0; inside.len() + 148];
        written(self.0.encapsulate(inside, &mut room)).unwrap()
    }

    /// Takes a handshake message and returns its answer.
    pub fn take(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        written(
            self.0
                .decapsulate(None, bytes, &mut vec![0; bytes.len() + 148]),
        )
    }

    /// Opens a transport message.
    pub fn open(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self.0.decapsulate(None, bytes, &mut vec![0; bytes.len()]) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                packet.to_vec()
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The datagram that boringtun wants to send, if there is one.
pub fn written(result: TunnResult<'_>) -> Option<Vec<u8>> {
    match result {
        TunnResult::WriteToNetwork(bytes) => Some(bytes.to_vec()),
        _ => None,
    }
}

/// A client that has its session keys itself, so that it can use any counter.
pub struct Evil {
    receiver: [u8; 4],
    keys: snow::StatelessTransportState,
}

impl Evil {
    /// Makes a handshake with `answer`, which answers the initiation.
    pub fn connect(number: u8, node: [u8; 32], answer: impl FnOnce(&[u8]) -> Vec<u8>) -> Self {
        let params = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s".parse().unwrap();
        let mut noise = snow::Builder::new(params)
            .prologue(b"WireGuard v1 zx2c4 Jason@zx2c4.com")
            .unwrap()
            .local_private_key(&[number; 32])
            .unwrap()
            .remote_public_key(&node)
            .unwrap()
            .psk(2, &preshared_key(number))
            .unwrap()
            .build_initiator()
            .unwrap();
        let mut initiation = vec![1, 0, 0, 0, 9, 9, 9, 9];
        let mut message = [0; 108];
        noise.write_message(&[0x40; 12], &mut message).unwrap();
        initiation.extend(message);
        initiation.extend(mac1(&node, &initiation));
        initiation.extend([0; 16]);
        let response = answer(&initiation);
        noise.read_message(&response[12..60], &mut []).unwrap();
        Self {
            receiver: response[4..8].try_into().unwrap(),
            keys: noise.into_stateless_transport_mode().unwrap(),
        }
    }

    /// Seals any bytes with this counter.
    pub fn seal(&self, counter: u64, inside: &[u8]) -> Vec<u8> {
        let mut datagram = vec![4, 0, 0, 0];
        datagram.extend(self.receiver);
        datagram.extend(counter.to_le_bytes());
        let mut sealed = vec![0; inside.len() + 16];
        self.keys
            .write_message(counter, inside, &mut sealed)
            .unwrap();
        datagram.extend(sealed);
        datagram
    }
}

/// The first MAC of a handshake message (paper, section 5.4.4).
pub fn mac1(node: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let key = Blake2s256::new()
        .chain_update(b"mac1----")
        .chain_update(node)
        .finalize();
    let mut mac = Blake2sMac::<U16>::new_from_slice(&key).unwrap();
    mac.update(message);
    mac.finalize_fixed().into()
}
