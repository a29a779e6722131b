//! The counter protocol between a node and the account service: both ends, without I/O.
//!
//! [`node::Reporter`] is a node's end: sessions come and go, frames go out. It is asked what
//! to do next (dial, send, hang up, end a session). [`service::Ledgers`] is the service's
//! end: streams come and go, frames come in, and `devices` of an account is the sum of what
//! the ledgers hold.
//!
//! ```text
//!   tunnel: session up, down -> Reporter -> frames ~~~ WebSocket ~~~> Ledgers -> devices
//!                 end session <-          <- verdicts ~~~~~~~~~~~~~~<-
//! ```
//!
//! What it does not do: open connections, read a clock, ask the system for randomness, open
//! a ticket, or keep anything about a user but how many of an account's devices count, and
//! for which node. A session is a number that the node made up; no key or address comes here.
//!
//! The rules are those of the design's section "The counter"; their numbers stand beside the
//! code that keeps them.

mod alive;
pub mod constants;
pub mod node;
mod reason;
pub mod service;

pub use reason::CloseReason;
