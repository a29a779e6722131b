//! The packet thread: it owns the tunnel, and waits for datagrams, packets, commands and time.
//!
//! ```text
//!   UDP  -> trains -> datagrams -> Tunnel -> Outbox -> frames -> TUN
//!                                                   -> trains -> UDP
//!   TUN  -> frames -> Tunnel -> Outbox -> trains -> UDP
//!   Commands (a queue and an eventfd) -> Tunnel -> Notice (a channel)
//! ```
//!
//! No packet crosses a thread. What comes back to the control thread is that a session
//! began or ended, by the number of its enrolment, and nothing else.

mod commands;
mod thread;

pub use commands::{Command, Commands};
pub use thread::{Datapath, Notice};
