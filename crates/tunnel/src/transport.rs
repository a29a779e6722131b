//! Transport messages of one peer: its session, the keypairs that seal and open them, and the
//! packets that they hold.

pub(crate) mod icmp6;
pub(crate) mod inner;
mod keypair;
mod session;

pub(crate) use keypair::{Keypair, Opened, StaticKeys};
pub(crate) use session::{Role, Session};
