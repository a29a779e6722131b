//! What the tests of several crates share.
//!
//! A part that only one crate's tests use stays with that crate.

pub mod packets;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "wireguard")]
pub mod wireguard;
