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
//! The store is SQLite, for one process, or PostgreSQL, for several: then one of them counts, and
//! the others ask it (`replicas`; `SCALE.md` beside this crate says why so).
//!
//! One listener, TLS 1.3. A request comes through [`listener`](start::serve), which turns the
//! client's address into a salted hash for the limits and drops it, to one of the routes.
//! Passwords are hashed on threads of their own, a few at a time; the counter has a thread,
//! too, so that neither waits for the other.
//!
//! What it does not do: it never learns a WireGuard key, keeps no client address and no node
//! of an account, writes nothing on a connect, holds no log call, and takes no payment itself.
//! The store holds the record of the design, an id, hashes of payments' numbers until they
//! cannot come again, and the register of nodes' secrets; beside it lie the authority, the keys
//! of tokens, the hash of the shop's key, and the ticket keys of the last days. How many devices
//! an account has, and what was learnt of it since the last daily write, is in RAM.

pub mod authority;
pub mod cli;
pub mod clock;
pub mod config;
mod counter;
mod erasure;
pub mod error;
pub mod fields;
mod files;
mod hourly;
pub mod limits;
mod listener;
pub mod marks;
pub mod nodes;
pub mod password;
pub mod payments;
mod random;
pub mod record;
pub mod rectify;
pub mod refusal;
mod replicas;
mod routes;
pub mod service;
pub mod shop;
pub mod sign_up;
pub mod start;
pub mod store;
pub mod subscription;
pub mod tickets;
mod tls;
pub mod token;
