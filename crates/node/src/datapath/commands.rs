//! From the control thread to the packet thread: a queue, and an eventfd that says it is not empty.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::enrolment::{EnrolmentId, Peer};

/// What the packet thread is asked to do.
pub enum Command {
    /// Take a peer.
    Add(EnrolmentId, Peer),
    /// Forget a peer; its session ends.
    Remove(EnrolmentId),
    /// End a peer's session; the peer stays.
    End(EnrolmentId),
}

/// The queue; clones are ends of the same.
#[derive(Clone)]
pub struct Commands(Arc<Queue>);

struct Queue {
    commands: Mutex<Vec<Command>>,
    /// Non-zero: there are commands.
    signal: EventFd,
}

impl Commands {
    /// An empty queue.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(Queue {
            commands: Mutex::default(),
            signal: EventFd::from_flags(flags)?,
        })))
    }

    /// Queues a command and wakes the packet thread.
    pub fn send(&self, command: Command) {
        let queue = &self.0;
        queue
            .commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(command);
        // It fails only where 2^64 - 2 wake-ups wait: the thread is awake then.
        let _ = queue.signal.write(1);
    }

    /// Takes all commands, in the order of sending.
    pub fn take(&self) -> Vec<Command> {
        // Before the queue is emptied: a command that comes in between wakes once more.
        let _ = self.0.signal.read();
        mem::take(
            &mut *self
                .0
                .commands
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Readable while there are commands.
    pub fn signal(&self) -> BorrowedFd<'_> {
        self.0.signal.as_fd()
    }
}
