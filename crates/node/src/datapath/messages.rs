//! The messages between the threads.

use mayfly_tunnel::{HandshakeJob, HandshakeReply};

use super::queue::Queue;
use crate::enrolment::{Client, EnrolmentId};

/// What the control thread tells a packet thread to do.
pub(crate) enum Command {
    /// Add a peer.
    Add(EnrolmentId, Client),
    /// Remove a peer. Its session ends.
    Remove(EnrolmentId),
    /// End a peer's session. The peer stays.
    End(EnrolmentId),
}

/// What a packet thread tells the control thread. No key, address or volume is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// The enrolment's session counts from now.
    SessionUp(EnrolmentId),
    /// The enrolment's session has ended.
    SessionDown(EnrolmentId),
    /// The enrolment has ended, and nothing has or gets a packet at its inner addresses.
    Rested(EnrolmentId),
}

/// From the control thread to the packet threads. A peer has the same one while it is enrolled.
pub(crate) struct Commands(Vec<CommandQueue>);
/// From the control thread to one packet thread.
pub(crate) type CommandQueue = Queue<Command>;

/// From the packet threads to the handshake thread.
pub(crate) type HandshakeJobs = Queue<HandshakeJob<EnrolmentId>>;
/// From the handshake thread to a packet thread.
pub(crate) type HandshakeReplies = Queue<HandshakeReply<EnrolmentId>>;

impl Commands {
    /// Commands to the threads that take from these queues. There must be at least one.
    pub(crate) fn to(queues: Vec<CommandQueue>) -> Self {
        Self(queues)
    }

    /// Sends a command to the thread that has the peer, or will have it.
    pub(crate) fn send(&self, command: Command) {
        if let Some(queue) = self.0.get(command.enrolment().shard(self.0.len())) {
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
