//! The inputs that a fuzzer tries on a tunnel, and what must hold for all of them.
//!
//! ```text
//!   client == sealed ==> near Tunnel -- frames --> far Tunnel == sealed ==> client    (crossing)
//!           anything ==> near Tunnel                                                  (datagram)
//!                 any header, any packet --> far Tunnel == sealed ==> client          (frame)
//! ```
//!
//! The clients are the published boringtun. Their sessions are made once for a process, and time
//! stands still: one input takes microseconds, and the same input gives the same result.
//!
//! There is no corpus: an input is a list of decisions about packets ([`Shape`]), not the packets,
//! so that the fuzzer reaches the interesting ones from nothing within seconds.

mod flow;
mod shape;
mod world;

pub use flow::in_order_of_flows;
pub use shape::{Run, Shape};
pub use world::{FAR_IPV4, FAR_IPV6, World};
