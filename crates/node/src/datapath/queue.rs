//! From one thread to another: a queue, and an eventfd that says it is not empty.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// The queue; clones are ends of the same.
pub struct Queue<T>(Arc<Shared<T>>);

struct Shared<T> {
    items: Mutex<Vec<T>>,
    /// Non-zero: there are items.
    signal: EventFd,
}

impl<T> Queue<T> {
    /// An empty queue.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(Shared {
            items: Mutex::new(Vec::new()),
            signal: EventFd::from_flags(flags)?,
        })))
    }

    /// Queues an item and wakes the thread at the other end.
    pub fn send(&self, item: T) {
        self.push(item, usize::MAX);
    }

    /// The same, if fewer than so many wait there; else the item is lost, as on a wire.
    pub fn send_within(&self, item: T, most: usize) {
        self.push(item, most);
    }

    fn push(&self, item: T, most: usize) {
        let mut items = self.lock();
        if items.len() >= most {
            return;
        }
        items.push(item);
        let is_first = items.len() == 1;
        drop(items);
        if is_first {
            // It fails only where 2^64 - 2 wake-ups wait: the thread is awake then.
            let _ = self.0.signal.write(1);
        }
    }

    /// Takes all items, in the order of sending.
    pub fn take(&self) -> Vec<T> {
        // Before the queue is emptied: an item that comes in between wakes once more.
        let _ = self.0.signal.read();
        mem::take(&mut *self.lock())
    }

    /// Readable while there are items.
    pub fn signal(&self) -> BorrowedFd<'_> {
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
