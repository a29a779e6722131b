//! WireGuard for many peers, the server's end, without I/O.
//!
//! A [`Tunnel`] holds the enrolled peers and the sessions of those that are live. Three
//! things go in: datagrams from the network, frames from the TUN device, and time. Out
//! come datagrams and packets, in an [`Outbox`] that the caller reuses and that joins them into
//! trains for the kernel, and [`Event`]s.
//!
//! ```text
//!   datagram -> length and type
//!     initiation -> HandshakeJob ... HandshakeReply -> datagram
//!     transport  -> receiver index -> Tunn -> inner header, source -> packet
//!   frame    -> destination -> peer -> session? -> cut -> pad to 16 -> Tunn -> datagrams to the peer's endpoint
//! ```
//!
//! A node has one tunnel, or several that share its peers between them, its shards.
//!
//! Handshakes are a [`Responder`]'s, which may be on another thread:
//!
//! ```text
//!   HandshakeJob -> mac1, limits, cookie -> static key -> peer -> time stamp -> new Tunn
//!                -> HandshakeReply
//! ```
//!
//! The Noise handshake and the ciphers are boringtun's ([`boringtun::noise::Tunn`], one for
//! each handshake of a live peer). What is ours is everything around it that a server of many
//! needs: finding the peer, limits, telling a recording, and when to remember and forget.
//!
//! What it does not do: open sockets, read a clock, ask the system for randomness, log,
//! count bytes, or start a handshake. (boringtun itself reads the clock and the system's
//! random source; simulated tests move its clock by `mock-instant`, and ours with it.)
//!
//! What it forgets: an enrolled peer without a session is its keys and inner addresses.
//! Endpoint, session keys, indices and times of a session go with the session, and so does the
//! time stamp of its last handshake.

mod config;
mod ecn;
mod handshake;
mod ip;
mod message;
mod offload;
mod outbox;
mod peers;
mod refusal;
mod secret_index;
mod spec;
mod transport;
mod tunnel;

pub use config::{Config, Prefix};
pub use ecn::Ecn;
pub use handshake::{EndedSession, HandshakeJob, HandshakeReply, Initiation, Responder};
pub use offload::{FRAME_HEADER, Frame};
pub use outbox::{Datagram, Endpoint, Outbox, Train};
pub use peers::{AddressTaken, MAX_SHARDS, PeerConfig, PeerHandle, SHARD_BYTE, SHARDED_KIND};
pub use refusal::Refusal;
pub use secret_index::SecretIndex;
pub use tunnel::{Event, Tunnel};
