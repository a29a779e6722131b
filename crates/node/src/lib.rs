//! The node's settings, and what follows from them as data: the firewall, the rights that each
//! process keeps, and the system calls that it may make.
//!
//! The daemon itself is the program beside this library. The library is separate so that the tests
//! that attack a node use its own firewall and confinement, and not a copy of them. It opens
//! nothing, sends nothing and changes nothing on the machine: the daemon does, with this data.

pub mod firewall;
pub mod lockdown;
pub mod settings;
pub mod syscalls;
