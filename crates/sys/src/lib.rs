//! The parts of the operating system that Mayfly uses. It is the only crate with `unsafe`.
//!
//! - [`tun`], [`udp`]: packets and datagrams, in batches whose buffers are made once.
//! - [`link`], [`sysctl`]: addresses, routes and kernel settings, at start-up.
//! - [`tcp`][]: a port that clients connect to.
//! - [`nft`]: the firewall, as data.
//! - [`conntrack`]: deletes connections from the kernel's table.
//! - [`heap`]: what the allocator keeps of freed memory.
//! - [`memory`]: how much RAM there is.
//! - [`pause`][mod@pause]: waits.
//! - [`processors`]: keeps a thread on one processor.
//! - [`registers`]: zeroes what ciphers and copies leave in registers.
//! - [`confine`]: how a process gives up its rights, for good.
//!
//! The crate decides nothing: the caller chooses ports, addresses and system calls. Between calls
//! it keeps only descriptors and buffers. It prints nothing.

pub mod confine;
pub mod conntrack;
mod failures;
pub mod heap;
pub mod link;
pub mod memory;
mod netlink;
pub mod nft;
pub mod pause;
pub mod processors;
pub mod registers;
pub mod sysctl;
pub mod tcp;
pub mod tun;
pub mod udp;
