//! What the threads tell each other.

use mayfly_tunnel::{HandshakeJob, HandshakeReply};

use super::queue::Queue;
use crate::enrolment::{EnrolmentId, Peer};

/// What the control thread asks of a packet thread.
pub enum Command {
    /// Take a peer.
    Add(EnrolmentId, Peer),
    /// Forget a peer; its session ends.
    Remove(EnrolmentId),
    /// End a peer's session; the peer stays.
    End(EnrolmentId),
}

/// What the control thread hears from a packet thread: no key, address or volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The enrolment's session counts from now.
    SessionUp(EnrolmentId),
    /// The enrolment's session is over.
    SessionDown(EnrolmentId),
}

/// Control thread to packet threads. Each peer has one, the same for as long as it is enrolled.
pub struct Commands(Vec<CommandQueue>);
/// Control thread to one packet thread.
pub type CommandQueue = Queue<Command>;

/// Packet threads to handshake thread.
pub type Orders = Queue<HandshakeJob<EnrolmentId>>;
/// Handshake thread to a packet thread.
pub type Answers = Queue<HandshakeReply<EnrolmentId>>;

impl Commands {
    /// To the threads that take from these queues; there must be one.
    pub fn to(queues: Vec<CommandQueue>) -> Self {
        Self(queues)
    }

    /// Sends a command to the thread that has, or shall have, the peer.
    pub fn send(&self, command: Command) {
        if let Some(queue) = self.0.get(command.enrolment().share(self.0.len())) {
            queue.send(command);
        }
    }
}

impl Command {
    fn enrolment(&self) -> EnrolmentId {
        match self {
            Self::Add(id, _) | Self::Remove(id) | Self::End(id) => *id,
        }
    }
}
