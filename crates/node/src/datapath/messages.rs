//! What the threads tell each other.

use mayfly_tunnel::{Answer, Order};

use super::queue::Queue;
use crate::enrolment::{EnrolmentId, Peer};

/// What the control thread asks of the packet thread.
pub enum Command {
    /// Take a peer.
    Add(EnrolmentId, Peer),
    /// Forget a peer; its session ends.
    Remove(EnrolmentId),
    /// End a peer's session; the peer stays.
    End(EnrolmentId),
}

/// What the control thread hears from the packet thread: no key, address or volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The enrolment's session counts from now.
    SessionUp(EnrolmentId),
    /// The enrolment's session is over.
    SessionDown(EnrolmentId),
}

/// Control thread to packet thread.
pub type Commands = Queue<Command>;
/// Packet thread to handshake thread.
pub type Orders = Queue<Order>;
/// Handshake thread to packet thread.
pub type Answers = Queue<Answer>;
