//! A node's tunnel and its clients in simulated time.
//!
//! ```text
//!   Client (a Tunn, as a stock client) ~~ latency, loss, an eavesdropper ~~ Tunnel -- TUN
//! ```
//!
//! One [`Sim`] moves both clocks, ours and boringtun's, from one due event to the next: hours pass
//! in milliseconds, and in the same way each time. Tests assert what the eavesdropper counts, what
//! comes out at either end, and which events there are for the counter.

mod client;
pub mod packet;
mod sim;

pub use client::{Client, ClientId, Stranger};
pub use sim::{Sim, Way, Wire};
