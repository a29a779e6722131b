//! Enrolled peers, one by one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use zeroize::{Zeroize as _, Zeroizing};

use crate::session::Session;

/// Names an enrolled peer; never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerId {
    pub(crate) slot: u32,
    pub(crate) serial: u64,
}

/// What the node knows of a peer while it is enrolled.
pub struct Enrolment {
    /// The peer's static public key.
    pub public_key: [u8; 32],
    /// The key that the node made for this peer.
    pub preshared_key: Zeroizing<[u8; 32]>,
    /// The only IPv4 source that the peer may use, and the way to it.
    pub ipv4: Ipv4Addr,
    /// The same for IPv6; without it the peer's IPv6 is answered "prohibited".
    pub ipv6: Option<Ipv6Addr>,
}

/// Why a peer was not enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddPeerError {
    /// A point of small order (RFC 7748 section 6.1): every secret shared with it is zero.
    LowOrderKey,
    /// A peer with this key is enrolled, or the key is the node's own.
    KeyTaken,
    /// A peer with one of these inner addresses is enrolled, or the address is the node's own.
    AddressTaken,
}

impl fmt::Display for AddPeerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LowOrderKey => "the public key is a point of low order",
            Self::KeyTaken => "the public key is enrolled already",
            Self::AddressTaken => "the inner address is taken",
        })
    }
}

impl std::error::Error for AddPeerError {}

/// An enrolled peer. All but the session is plain bytes, zeroed when it is dropped; a session
/// lies on the heap, which the process's allocator zeroes.
pub(crate) struct Peer {
    pub serial: u64,
    pub public_key: [u8; 32],
    pub preshared_key: [u8; 32],
    ipv4: [u8; 4],
    ipv6: Option<[u8; 16]>,
    pub session: Option<Box<Session>>,
}

/// What a peer can be found by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// Its static public key.
    Key([u8; 32]),
    /// An inner address of its own.
    Ipv4([u8; 4]),
    /// An inner address of its own.
    Ipv6([u8; 16]),
    /// The upper 24 bits of its session's receiver indices.
    Index(u32),
}

/// The kinds of [`Name`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Key,
    Ipv4,
    Ipv6,
    Index,
}

impl Peer {
    pub fn new(serial: u64, enrolment: &Enrolment) -> Self {
        Self {
            serial,
            public_key: enrolment.public_key,
            preshared_key: *enrolment.preshared_key,
            ipv4: enrolment.ipv4.octets(),
            ipv6: enrolment.ipv6.map(|address| address.octets()),
            session: None,
        }
    }

    pub fn name(&self, kind: Kind) -> Option<Name> {
        match kind {
            Kind::Key => Some(Name::Key(self.public_key)),
            Kind::Ipv4 => Some(Name::Ipv4(self.ipv4)),
            Kind::Ipv6 => self.ipv6.map(Name::Ipv6),
            Kind::Index => self
                .session
                .as_ref()
                .map(|session| Name::Index(session.index)),
        }
    }

    pub fn has_ipv6(&self) -> bool {
        self.ipv6.is_some()
    }

    /// Whether an inner address is the peer's own.
    pub fn owns(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => self.ipv4 == address.octets(),
            IpAddr::V6(address) => self.ipv6 == Some(address.octets()),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.public_key.zeroize();
        self.preshared_key.zeroize();
        self.ipv4.zeroize();
        self.ipv6.zeroize();
    }
}

impl Name {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Key(_) => Kind::Key,
            Self::Ipv4(_) => Kind::Ipv4,
            Self::Ipv6(_) => Kind::Ipv6,
            Self::Index(_) => Kind::Index,
        }
    }
}

impl From<IpAddr> for Name {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::Ipv4(address.octets()),
            IpAddr::V6(address) => Self::Ipv6(address.octets()),
        }
    }
}
