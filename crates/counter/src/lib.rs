//! The counter protocol between a node and the account service: both ends, without I/O.
//!
//! [`node::Reporter`] is a node's end: it takes the beginning and end of sessions, and gives
//! frames, once a second. Its caller asks it what to do next (dial, send, hang up, end a session).
//! [`service::Ledgers`] is the service's end: it takes streams and their frames. `devices` of an
//! account is the sum of what the ledgers hold. [`message`] is what frames travel in.
//! `examples/counter.rs` lets the two ends talk.
//!
//! ```text
//!   tunnel: session up, down -> Reporter -> frames ~~~ WebSocket ~~~> Ledgers -> devices
//!                 end session <-          <- verdicts ~~~~~~~~~~~~~~<-
//! ```
//!
//! The crate opens no connection, reads no clock, asks the system for no randomness, and opens no
//! ticket. About a user it keeps only how many of an account's devices count, and for which node.
//! A session is an id that the node made up. No key and no address comes here.
//!
//! `crates/counter/PROTOCOL.md` has the rules. Their numbers stand beside the code that keeps them.

mod alive;
pub mod constants;
pub mod message;
pub mod node;
mod reason;
mod send_queue;
pub mod service;

pub use reason::CloseReason;
