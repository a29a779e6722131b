//! The keys of the service, and what is made with them: tickets, tokens, certificates.

pub(crate) mod authority;
pub mod nodes;
pub(crate) mod shop;
pub(crate) mod tickets;
pub(crate) mod tls;
pub(crate) mod token;
