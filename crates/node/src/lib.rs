//! What a node lets through and what its processes may do, as data made of the settings.
//!
//! The daemon itself is the program beside this library. It is parted from it so that the
//! tests that attack a node stand behind the node's own firewall and confinement, not
//! behind a copy of them. Nothing here does anything.

pub mod firewall;
pub mod lockdown;
pub mod settings;
pub mod syscalls;
