//! What a fuzzer may try on a tunnel, and what must hold all the same.
//!
//! ```text
//!   client == sealed ==> near Tunnel -- frames --> far Tunnel == sealed ==> client    (crossing)
//!           anything ==> near Tunnel                                                  (datagram)
//!                 any header, any packet --> far Tunnel == sealed ==> client          (frame)
//! ```
//!
//! The clients are the published boringtun's. Their sessions are made once for a process, and
//! time stands still: an input is tried in microseconds, and the same one gives the same result.
//!
//! It has no corpus: inputs are decisions about packets ([`Shape`]), not packets, so that the
//! fuzzer finds its way from nothing within seconds.

#[path = "../../../crates/tunnel/tests/common/mod.rs"]
#[allow(
    missing_docs,
    clippy::new_without_default,
    reason = "written for the tunnel's own tests"
)]
pub mod common;
mod flow;
mod shape;
mod world;

pub use flow::in_order_of_flows;
pub use shape::{Run, Shape};
pub use world::{FAR_IPV4, FAR_IPV6, World};
