//! The keys of the service, and the tickets, tokens and certificates made with them.

pub(crate) mod authority;
pub mod nodes;
pub(crate) mod shop;
pub(crate) mod tickets;
pub(crate) mod tls;
pub(crate) mod token;
