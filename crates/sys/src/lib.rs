//! The operating system, as far as Mayfly touches it: the only crate with `unsafe`.
//!
//! - [`tun`], [`udp`]: packets and datagrams, in batches whose buffers are made once.
//! - [`link`], [`sysctl`]: addresses, routes and kernel settings, at start-up.
//! - [`nft`]: the firewall, as data.
//! - [`conntrack`]: deleting the kernel's memory of connections.
//! - [`heap`]: what the allocator keeps.
//! - [`processors`]: threads that keep to one.
//! - [`registers`]: what cipher and copies leave there.
//! - [`confine`]: how a process gives up its rights, for good.
//!
//! It decides nothing: which port, which address, which system call is the caller's to say.
//! It keeps nothing between calls but descriptors and buffers, and prints nothing.

pub mod confine;
pub mod conntrack;
pub mod heap;
pub mod link;
mod netlink;
pub mod nft;
pub mod processors;
pub mod registers;
pub mod sysctl;
pub mod tun;
pub mod udp;
