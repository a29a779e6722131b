//! What crosses a wire, as types.
//!
//! Every body, claim, frame and file that two programs of Mayfly exchange is
//! declared here once: the [token](token::Claims) and its [`Ticket`], the
//! [enrolment](enrol) at a node, the [counter protocol](counter)'s frames, the
//! [admission](admission) of a node, the signed settings [`bundle`], a shop's [`payment`],
//! and the [`Problem`] document that answers bad input (RFC 9457).
//!
//! The crate does no I/O, no cryptography and no checking beyond shape: lengths,
//! names and ranges. Who may say what, and when, is the business of its users.
//!
//! Nothing in it prints a key, a ticket or a secret: their `Debug` shows only the
//! type's name, and secrets zero themselves when dropped.

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

/// The largest request body that any of our servers reads, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
