//! A node's tunnel and its clients in simulated time.
//!
//! ```text
//!   Client (a Tunn, as a stock client) ~~ latency, loss, an eavesdropper ~~ Tunnel -- TUN
//! ```
//!
//! One [`Sim`] moves both clocks, ours and boringtun's, from one thing that is due to the next:
//! hours pass in milliseconds, the same way each time. Tests say what the eavesdropper counts,
//! what comes out at either end, and which events the counter hears.

mod client;
pub mod packet;
mod sim;

pub use client::{Client, ClientId};
pub use sim::{Sim, Way, Wire};
