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
//! It holds no shell, opens no listening socket but DHCP's, writes no file and says
//! nothing. What goes wrong before the daemon runs ends PID 1 with a number ([`Failure`]),
//! which the operator hears too, if there is a network ([`beacon`]);
//! the kernel takes that for a panic and restarts. A dev kernel prints the number on its
//! console (`Attempted to kill init! exitcode=0x00000c00` is 0x0c = 12), a sealed one has
//! nothing to print on, so init needs no second build and no text.
//!
//! This is a library so that the tests can run its parts where they are not PID 1.

pub mod beacon;
pub mod bundle;
pub mod cmdline;
pub mod confine;
pub mod dhcp;
pub mod failure;
pub mod image;
pub mod lease;
pub mod mounts;
pub mod network;
pub mod supervise;
pub mod sysctls;
mod wait;

pub use failure::Failure;
