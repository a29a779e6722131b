//! The account service: accounts, tokens, the admission of nodes, and the live counter.
//!
//! ```text
//! client  POST /v1/accounts   sign-up ---------------------------> store
//! client  POST /v1/tokens     password -> store -> counter < 4 --> token with a ticket
//! client  GET  /v1/account    password -> store -> the full record; PATCH edits, DELETE erases
//! shop    POST /v1/payments   shop's key -> store: an end moves, once a payment
//! node    POST /v1/nodes      secret -> register -> authority ---> certificate
//! node    GET  /v1/counter    certificate -> WebSocket -> ticket -> counter (RAM)
//! ```
//!
//! Floors, from the top to the bottom. A source file uses its own floor and those below it; the
//! test `floors` fails when one uses a floor above.
//!
//! ```text
//!     http      the listener, the routes, every refusal as a document; starts it all
//!     service   the parts that requests share, the hourly work, the end of an erased account
//!     cli       the operator's commands beside the service
//!     counter   the live counter; which process counts
//!     keys      tickets, tokens, certificates, TLS, the secrets of nodes and of the shop
//!     store     accounts and nodes in SQLite or PostgreSQL, and the daily write
//!     core      the record and its rules, passwords, limits, time, randomness, files, errors
//!     config    the settings
//! ```
//!
//! The store is SQLite for one process, or PostgreSQL for several. Of several processes, one
//! counts and the others ask it (`counter::replicas`; `SCALE.md` beside this crate says why).
//!
//! There is one listener, TLS 1.3. `http::listener` turns a client's address into a salted hash
//! for the limits, drops the address, and passes the request to a route. Passwords are hashed on
//! threads of their own, a few at a time. The counter has its own thread, so that neither waits
//! for the other.
//!
//! The service never learns a WireGuard key. It keeps no client address and no node of an
//! account, writes nothing when a device connects, has no log call, and takes no payment itself.
//! The store holds the account record, an id for each account, hashes of payment numbers until
//! the payments cannot come again, and the register of nodes' secrets. Beside the store lie the
//! authority, the keys that sign tokens, the hash of the shop's key, and the ticket keys of the
//! last days. The number of an account's devices, and what the service has learnt of an account
//! since the last daily write, are only in RAM.

pub mod cli;
pub mod config;
mod core;
mod counter;
mod http;
mod keys;
mod service;
mod store;

pub use crate::core::error::StartError;
pub use crate::core::record::AccountId;
pub use crate::core::{clock, password};
pub use http::start;
pub use keys::authority::Authority;
pub use keys::nodes;
pub use keys::tickets::TicketKeys;
pub use keys::token::Signer;
pub use store::Store;
