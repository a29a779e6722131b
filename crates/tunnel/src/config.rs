//! The settings of a node's tunnels, made once before the first peer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zeroize::Zeroizing;

use crate::Endpoint;

/// The node's own side of every tunnel.
pub struct Config {
    /// The node's X25519 private key, made in RAM at its boot. With a key that outlived a boot,
    /// initiations recorded before that boot would be answered again.
    pub private_key: Zeroizing<[u8; 32]>,
    /// Largest inner packet, in bytes: padding never grows a packet beyond it.
    pub mtu: u16,
    /// The node's inner IPv4 address. Peers may send to it although it is in a pool.
    pub ipv4: Ipv4Addr,
    /// The same for IPv6. It is also the source of our ICMPv6 errors.
    pub ipv6: Ipv6Addr,
    /// The prefixes that peers' inner addresses come from. A packet of a peer into one of them is
    /// refused: peers cannot reach each other.
    pub pools: Vec<Prefix>,
    /// How many processors the node has. The limit of handshakes follows from it.
    pub processors: u8,
}

/// The part of the settings that a tunnel keeps.
pub(crate) struct InnerNetwork {
    /// In bytes.
    pub mtu: usize,
    pub ipv4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
    pub pools: Vec<Prefix>,
}

impl InnerNetwork {
    /// Whether an inner address is the node's own.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        address == IpAddr::from(self.ipv4) || address == IpAddr::from(self.ipv6)
    }

    /// Whether an inner address is a peer's or could be.
    #[inline]
    pub(crate) fn is_peers(&self, address: IpAddr) -> bool {
        !self.owns(address) && self.in_pool(address)
    }

    /// Whether a datagram between these ends came out of the tunnel, or from this node itself. Such
    /// an end must not become a peer's endpoint: each packet for the peer would be sealed, routed
    /// back into the tunnel, and sealed again.
    #[inline]
    pub(crate) fn has_end(&self, endpoint: &Endpoint) -> bool {
        let remote = endpoint.remote.ip().to_canonical();
        let local = endpoint.local.map(|address| address.to_canonical());
        self.owns(remote)
            || self.in_pool(remote)
            || local.is_some_and(|local| local == remote || self.owns(local))
    }

    fn in_pool(&self, address: IpAddr) -> bool {
        self.pools.iter().any(|pool| pool.contains(address))
    }
}

/// An IP prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    address: IpAddr,
    bits: u8,
}

impl Prefix {
    /// The prefix of length `bits` that has `address`; `None` if the address is shorter.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                let differing = u32::from(net) ^ u32::from(host);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                let differing = u128::from(net) ^ u128::from(host);
                differing.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}
