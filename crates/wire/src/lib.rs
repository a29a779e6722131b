//! The messages that Mayfly's programs exchange, as types.
//!
//! Every body, claim, frame and file that two programs exchange is declared here
//! once: the [token](token::Claims) and its [`Ticket`], the
//! [enrolment](enrol) at a node, the [counter protocol](counter)'s frames, the
//! [admission] of a node, the signed settings [`bundle`], a shop's [`payment`],
//! and the [`Problem`] document that answers a refused request (RFC 9457).
//!
//! The crate does no I/O and no cryptography. It checks only the shape of a message:
//! lengths, names and ranges. The programs decide who may send what, and when.
//!
//! Nothing in it prints a key, a ticket or a secret: their `Debug` shows only the
//! type's name. Secrets zero themselves when dropped.

pub mod admission;
pub mod bundle;
pub mod counter;
pub mod enrol;
mod key;
pub mod payment;
mod problem;
mod ticket;
pub mod token;

pub use key::{KeyError, PresharedKey, PublicKey};
pub use problem::Problem;
pub use ticket::{TICKET_LEN, Ticket};

/// The largest request body that a server of ours reads, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
