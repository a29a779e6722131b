//! The suite with the accounts in PostgreSQL.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking"
)]

mod common;
mod suite;
