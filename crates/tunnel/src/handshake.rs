//! The handshake side of a node: which initiations are admitted, which peer each is from, and the
//! responder that answers them.

mod admission;
mod identity;
mod initiation;
mod limiter;
mod responder;

pub use initiation::Initiation;
pub use responder::{EndedSession, HandshakeJob, HandshakeReply, Responder};
