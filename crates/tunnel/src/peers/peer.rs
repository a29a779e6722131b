//! A single enrolled peer.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zeroize::{Zeroize as _, Zeroizing};

use crate::transport::{Role, Session};

/// Names an enrolled peer between a tunnel and the responder.
#[derive(Clone, Copy)]
pub struct PeerHandle<Id> {
    pub(crate) shard: u8,
    pub(crate) slot: u32,
    pub(crate) id: Id,
}

/// What the node knows of a peer for as long as it is enrolled.
pub struct PeerConfig {
    /// The peer's static public key.
    pub public_key: [u8; 32],
    /// The key that the node made for this peer.
    pub preshared_key: Zeroizing<[u8; 32]>,
    /// The peer's inner IPv4 address: the only source it may use, and the destination that leads to
    /// it.
    pub ipv4: Ipv4Addr,
    /// The same for IPv6. IPv6 packets of a peer without it are answered with "prohibited".
    pub ipv6: Option<Ipv6Addr>,
}

/// Why a peer was not added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdded {
    /// Another peer has one of the inner addresses, or the node itself does.
    AddressTaken,
    /// The shard has 2^24 peers.
    ShardFull,
}

impl fmt::Display for NotAdded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AddressTaken => "the inner address is taken",
            Self::ShardFull => "the shard has as many peers as it can have",
        })
    }
}

impl std::error::Error for NotAdded {}

/// An enrolled peer on the packet side; the [`Responder`](crate::Responder) has its keys. All but
/// the session is plain bytes, zeroed when it is dropped; a session is on the heap, which the
/// process's allocator zeroes.
pub(crate) struct Peer<Id> {
    pub id: Id,
    pub addresses: InnerAddresses,
    pub session: Option<Box<Session>>,
}

/// The inner addresses of a peer.
pub(crate) struct InnerAddresses {
    ipv4: [u8; 4],
    ipv6: Option<[u8; 16]>,
}

/// A name that a peer is found by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerName<Id> {
    /// The caller's id of it.
    Id(Id),
    /// Its inner IPv4 address.
    Ipv4([u8; 4]),
    /// Its inner IPv6 address.
    Ipv6([u8; 16]),
    /// The upper 24 bits of the receiver index of one of its keypairs.
    Index(u32),
}

impl<Id: Hash> Hash for PeerName<Id> {
    /// Hashes the name alone: names of two kinds may collide, and are told apart when they are
    /// compared.
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Id(id) => id.hash(state),
            Self::Ipv4(address) => state.write(address),
            Self::Ipv6(address) => state.write(address),
            Self::Index(index) => state.write_u32(*index),
        }
    }
}

/// Which of a peer's [`PeerName`]s.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameKind {
    Id,
    Ipv4,
    Ipv6,
    Index(Role),
}

impl<Id: Copy> Peer<Id> {
    pub(crate) fn new(id: Id, config: &PeerConfig) -> Self {
        Self {
            id,
            addresses: InnerAddresses {
                ipv4: config.ipv4.octets(),
                ipv6: config.ipv6.map(|address| address.octets()),
            },
            session: None,
        }
    }

    pub(crate) fn name(&self, kind: NameKind) -> Option<PeerName<Id>> {
        match kind {
            NameKind::Id => Some(PeerName::Id(self.id)),
            NameKind::Ipv4 => Some(PeerName::Ipv4(self.addresses.ipv4)),
            NameKind::Ipv6 => self.addresses.ipv6.map(PeerName::Ipv6),
            NameKind::Index(role) => self.session.as_ref()?.index(role).map(PeerName::Index),
        }
    }
}

impl InnerAddresses {
    pub(crate) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let ipv6 = self.ipv6.map(IpAddr::from);
        iter::once(IpAddr::from(self.ipv4)).chain(ipv6)
    }

    pub(crate) fn has_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    /// Whether an inner address is the peer's own.
    pub(crate) fn owns(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4 == address.octets(),
            IpAddr::V6(address) => self.ipv6 == Some(address.octets()),
        }
    }
}

impl Drop for InnerAddresses {
    fn drop(&mut self) {
        self.ipv4.zeroize();
        self.ipv6.zeroize();
    }
}

impl<Id> From<IpAddr> for PeerName<Id> {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address.octets()),
            IpAddr::V6(address) => Self::Ipv6(address.octets()),
        }
    }
}
