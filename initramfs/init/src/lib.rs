//! PID 1 of a Mayfly node: brings the machine up, fetches its settings, starts the
//! daemon, and restarts the machine when the daemon ends.
//!
//! ```text
//! command line ─┐                    operator's web server
//! DHCP ─────────┴─> address, URL ──────────> bundle ──(signature)──> TOML
//!                                                                     │ stdin
//!                       PID 1: lease, reaping, reboot <── ends ── mayfly-node
//! ```
//!
//! It has no shell, opens no listening socket except DHCP's, writes no file and prints
//! nothing. If a step before the daemon fails, PID 1 ends with a number ([`Failure`]) as its
//! exit status, and the kernel panics and restarts. If there is a network, the [`beacon`] sends
//! the number to the operator. A dev kernel also prints it on its console
//! (`Attempted to kill init! exitcode=0x00000c00` is 0x0c = 12). A sealed kernel has no console.
//! So init needs no second build and no text.
//!
//! This is a library so that tests can run its parts in a process that is not PID 1.

pub mod beacon;
pub mod bundle;
pub mod cmdline;
pub mod confine;
pub mod dhcp;
pub mod failure;
pub mod flows;
pub mod image;
pub mod lease;
pub mod mounts;
pub mod network;
pub mod supervise;
pub mod sysctls;
mod wait;

pub use failure::Failure;
