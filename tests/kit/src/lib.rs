//! What the tests of several crates share.
//!
//! A part that only one crate's tests use stays with that crate.

pub mod packets;
#[cfg(feature = "wireguard")]
pub mod wireguard;
