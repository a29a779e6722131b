//! Two nodes, each with a live peer. To each node, the other is on the internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use mayfly_tunnel::{Config, Frame, Outbox, PeerConfig, Prefix, Refusal, Tunnel};
use zeroize::Zeroizing;

use mayfly_kit::wireguard::{Client, MTU, Node, peer_config};

/// The inner addresses of the far peer.
pub const FAR_IPV4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 3);
/// See [`FAR_IPV4`].
pub const FAR_IPV6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 3);
const FAR: u8 = 3;

/// The nodes and clients, made once for a process. Both outboxes are empty between two inputs.
pub struct World {
    /// The node that takes datagrams.
    pub near: Node,
    /// Its peer 2.
    pub sender: Client,
    far: Node,
    receiver: Client,
    frame: Frame,
}

impl World {
    /// Makes the sessions.
    pub fn new() -> Self {
        let mut near = Node::new();
        near.enrol(2, true);
        let sender = near.connect(2);
        let mut far = far_node();
        let receiver = far.connect(FAR);
        for node in [&mut near, &mut far] {
            node.events();
            node.out.clear();
        }
        Self {
            near,
            sender,
            far,
            receiver,
            frame: Frame::new(),
        }
    }

    /// The frames that the near node would write to its TUN device.
    pub fn frames(&mut self, udp: bool) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        self.near.out.write_frames(udp, |parts| {
            frames.push(parts.iter().flat_map(|part| part.to_vec()).collect());
        });
        self.near.out.clear();
        frames
    }

    /// Hands a frame of the TUN device, with its header, to the far node.
    ///
    /// # Errors
    /// Why the far node dropped it.
    pub fn cross(&mut self, frame: &[u8]) -> Result<(), Refusal> {
        let len = frame.len().min(self.frame.room().len());
        self.frame.room()[..len].copy_from_slice(&frame[..len]);
        self.frame.fill(len);
        self.far
            .tunnel
            .handle_frame(&mut self.frame, &mut self.far.out, self.far.now)
    }

    /// Opens the datagrams for the far node's peer, and returns the packets in them.
    ///
    /// # Panics
    /// If a datagram does not open or holds no packet.
    pub fn received(&mut self) -> Vec<Vec<u8>> {
        let datagrams = self.far.datagrams();
        datagrams
            .iter()
            .map(|datagram| self.receiver.open(datagram))
            .collect()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

fn far_node() -> Node {
    let pools = [
        Prefix::new(IpAddr::from([203, 0, 113, 0]), 24),
        Prefix::new(
            IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)),
            64,
        ),
    ];
    let config = Config {
        private_key: Zeroizing::new([0xfa; 32]),
        mtu: MTU,
        ipv4: Ipv4Addr::new(203, 0, 113, 1),
        ipv6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
        pools: pools.into_iter().flatten().collect(),
        processors: 2,
    };
    let (mut tunnels, responder) = Tunnel::sharded(&config, [2; 32], 1);
    let mut node = Node {
        tunnel: tunnels.remove(0),
        responder,
        out: Outbox::new(),
        now: Instant::now(),
        enrolled: 0,
    };
    let peer = PeerConfig {
        ipv4: FAR_IPV4,
        ipv6: Some(FAR_IPV6),
        ..peer_config(FAR, false)
    };
    assert!(node.add(peer).is_ok(), "the node has no other peer");
    node
}
