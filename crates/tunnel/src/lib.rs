//! WireGuard for many peers, the server's end, without I/O.
//!
//! A [`Tunnel`] holds the enrolled peers and the sessions of those that are live. Three
//! things go in: datagrams from the network, frames from the TUN device, and time. Out
//! come datagrams and packets, in an [`Outbox`] that the caller reuses and that joins them into
//! trains for the kernel, and [`Event`]s.
//!
//! ```text
//!   datagram -> length and type -> initiation -> mac1, limits, cookie -> static key -> peer -> Tunn -> answer
//!                               -> transport  -> receiver index -> Tunn -> inner header, source -> packet
//!   frame    -> destination -> peer -> session? -> cut -> pad to 16 -> Tunn -> datagrams to the peer's endpoint
//! ```
//!
//! The Noise handshake and the ciphers are boringtun's ([`boringtun::noise::Tunn`], one for
//! each live peer). What is ours is everything around it that a server of many needs:
//! finding the peer, limits, and when to remember and forget.
//!
//! What it does not do: open sockets, read a clock, ask the system for randomness, log,
//! count bytes, or start a handshake. (boringtun itself reads the clock and the system's
//! random source; simulated tests move its clock by `mock-instant`, and ours with it.)
//!
//! What it forgets: an enrolled peer without a session is its keys and inner addresses.
//! Endpoint, session keys, indices and times of a session go with the session.

mod config;
mod gate;
mod icmp6;
mod inbound;
mod inner;
mod limiter;
mod message;
mod offload;
mod outbox;
mod peer;
mod peers;
mod refusal;
mod session;
mod spec;
mod tunnel;
mod wheel;

pub use config::{Config, Prefix};
pub use offload::{FRAME_HEADER, Frame};
pub use outbox::{Datagram, Outbox, Path, Train};
pub use peer::{AddPeerError, Enrolment, PeerId};
pub use refusal::Refusal;
pub use tunnel::{Event, Tunnel};
