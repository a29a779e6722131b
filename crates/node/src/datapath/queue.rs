//! A queue from one thread to another, with an eventfd that says that it is not empty.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// The queue. Clones are ends of the same queue.
pub(crate) struct Queue<T>(Arc<Shared<T>>);

struct Shared<T> {
    items: Mutex<Vec<T>>,
    /// Non-zero while there are items.
    signal: EventFd,
}

impl<T> Queue<T> {
    /// An empty queue.
    ///
    /// # Errors
    /// There is no descriptor left for the eventfd.
    pub(crate) fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(Shared {
            items: Mutex::new(Vec::new()),
            signal: EventFd::from_flags(flags)?,
        })))
    }

    /// Queues an item and wakes the thread at the other end.
    pub(crate) fn send(&self, item: T) {
        self.push(item, usize::MAX);
    }

    /// The same, if fewer than `limit` items wait. Otherwise the item is lost, as on a wire.
    pub(crate) fn send_within(&self, item: T, limit: usize) {
        self.push(item, limit);
    }

    fn push(&self, item: T, limit: usize) {
        let mut items = self.lock();
        if items.len() >= limit {
            return;
        }
        items.push(item);
        let is_first = items.len() == 1;
        drop(items);
        if is_first {
            // This fails only if 2^64 - 2 wake-ups wait. The thread is awake then.
            let _ = self.0.signal.write(1);
        }
    }

    /// Takes all items, in the order of sending.
    pub(crate) fn take(&self) -> Vec<T> {
        // Before the queue is emptied: an item that comes in between wakes the thread again.
        let _ = self.0.signal.read();
        mem::take(&mut *self.lock())
    }

    /// Readable while there are items.
    pub(crate) fn signal(&self) -> BorrowedFd<'_> {
        self.0.signal.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
