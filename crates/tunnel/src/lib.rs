//! WireGuard for many peers, at the server's end, without I/O.
//!
//! # What it does
//!
//! A [`Tunnel`] holds the enrolled peers and the sessions of those that are live. Datagrams from
//! the network, frames from the TUN device, and time go in. Datagrams, packets and [`Event`]s come
//! out. Datagrams and packets are appended to an [`Outbox`], which the caller reuses and which
//! joins them into trains for the kernel.
//!
//! A [`Responder`] answers handshakes. It may run on another thread, because an answer costs
//! hundreds of times what a packet costs. A node has one responder, and one tunnel or several
//! (*shards*) that divide its peers between them.
//!
//! The Noise handshake and the ciphers are boringtun's: one [`boringtun::noise::Tunn`] for each
//! handshake of a live peer. This crate adds what a server with many peers needs: it finds the
//! peer, limits handshakes, recognises recorded messages, checks inner addresses, and decides what
//! is remembered and what is forgotten.
//!
//! # What it does not do
//!
//! It does not open sockets, read a clock, ask the system for randomness, log, count bytes, or
//! start a handshake. (boringtun itself reads the clock and the system's random source. Simulated
//! tests move its clock with `mock-instant`, and ours with it.)
//!
//! # How data passes through
//!
//! ```text
//!   datagram -> length and type
//!     initiation -> HandshakeJob ... HandshakeReply -> datagram
//!     transport  -> receiver index -> keypair -> inner header, source -> packet
//!
//!   frame -> destination -> peer -> session? -> cut -> pad to 16 -> keypair
//!         -> datagrams to the peer's endpoint
//!
//!   HandshakeJob -> mac1, limits, cookie -> static key -> peer -> time stamp -> new keypair
//!                -> HandshakeReply
//! ```
//!
//! # What it forgets
//!
//! An enrolled peer without a session is its keys and inner addresses. The endpoint, keypairs,
//! indices and times of a session are dropped when the session ends, and so is the time stamp of
//! its last handshake.

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
pub use peers::{MAX_SHARDS, NotAdded, PeerConfig, PeerHandle, SHARD_BYTE, SHARDED_KIND};
pub use refusal::Refusal;
pub use secret_index::SecretIndex;
pub use tunnel::{Event, Tunnel};
