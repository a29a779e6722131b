//! Handoff: packets that came to a packet thread that does not own their peer, on their way to the
//! thread that does.
//!
//! This is the rare case. A flow that the TUN device does not know comes by any queue. Where the
//! kernel does not steer datagrams, a datagram of a peer that has roamed comes to any socket. The
//! packets of one turn cross together, in order. Their memory is used again, and all of it is
//! zeroed after use.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use mayfly_tunnel::{Ecn, Endpoint};

/// How many bytes may wait for a thread. What would exceed it is lost, as on a wire.
const MAX_BYTES: usize = 2 << 20;

/// One packet of a batch.
pub(crate) enum Handoff<'a> {
    /// A datagram, its endpoint, and the ECN field of its header.
    Datagram(Endpoint, Ecn, &'a mut [u8]),
    /// A frame of the TUN device.
    Frame(&'a [u8]),
}

/// Packets in the order in which they came. At most [`MAX_BYTES`].
#[derive(Default)]
pub(crate) struct HandoffBatch {
    bytes: Vec<u8>,
    used: usize,
    /// What each packet is, and where it ends. A frame has no endpoint.
    labels: Vec<(Option<(Endpoint, Ecn)>, usize)>,
}

impl HandoffBatch {
    /// Adds a datagram.
    pub(crate) fn add_datagram(&mut self, endpoint: Endpoint, ecn: Ecn, datagram: &[u8]) {
        self.add(Some((endpoint, ecn)), datagram);
    }

    /// Adds a frame.
    pub(crate) fn add_frame(&mut self, frame: &[u8]) {
        self.add(None, frame);
    }

    /// Calls `each` with every packet, and forgets them.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(Handoff<'_>)) {
        let mut start = 0;
        for &(label, end) in &self.labels {
            let Some(bytes) = self.bytes.get_mut(start..end) else {
                break;
            };
            start = end;
            each(match label {
                Some((endpoint, ecn)) => Handoff::Datagram(endpoint, ecn, bytes),
                None => Handoff::Frame(bytes),
            });
        }
        self.forget();
    }

    fn add(&mut self, label: Option<(Endpoint, Ecn)>, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if end > MAX_BYTES {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end.next_power_of_two(), 0);
        }
        if let Some(room) = self.bytes.get_mut(self.used..end) {
            room.copy_from_slice(bytes);
            self.used = end;
            self.labels.push((label, end));
        }
    }

    /// Moves the packets of another batch behind its own.
    fn append(&mut self, other: &mut Self) {
        other.drain(|handoff| match handoff {
            Handoff::Datagram(endpoint, ecn, datagram) => {
                self.add_datagram(endpoint, ecn, datagram)
            }
            Handoff::Frame(frame) => self.add_frame(frame),
        });
    }

    /// Zeroes the part that was in use. The rest of the memory is always zero.
    fn forget(&mut self) {
        self.bytes
            .iter_mut()
            .take(self.used)
            .for_each(|byte| *byte = 0);
        self.used = 0;
        let blank = (Some((Endpoint::BLANK, Ecn::NotEct)), 0);
        self.labels.fill(blank);
        self.labels.clear();
    }
}

/// Where a thread finds the packets that others have for it. Clones are ends of the same queue.
#[derive(Clone)]
pub(crate) struct HandoffQueue(Arc<Shared>);

struct Shared {
    batch: Mutex<HandoffBatch>,
    /// Non-zero while there are packets.
    signal: EventFd,
}

impl HandoffQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// There is no descriptor left for the eventfd.
    pub(crate) fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(Shared {
            batch: Mutex::default(),
            signal: EventFd::from_flags(flags)?,
        })))
    }

    /// Moves all of `batch` into the queue, and wakes the thread. `batch` is empty then.
    pub(crate) fn put(&self, batch: &mut HandoffBatch) {
        if batch.labels.is_empty() {
            return;
        }
        let mut waiting = self.0.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.labels.is_empty();
        if was_empty {
            mem::swap(&mut *waiting, batch);
        } else {
            waiting.append(batch);
        }
        drop(waiting);
        if was_empty {
            // This fails only if 2^64 - 2 wake-ups wait. The thread is awake then.
            let _ = self.0.signal.write(1);
        }
    }

    /// Moves all packets into `batch`, which must be empty.
    pub(crate) fn take(&self, batch: &mut HandoffBatch) {
        // Before the queue is emptied: a packet that comes in between wakes the thread again.
        let _ = self.0.signal.read();
        let mut waiting = self.0.batch.lock().unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *waiting, batch);
    }

    /// Readable while there are packets.
    pub(crate) fn signal(&self) -> BorrowedFd<'_> {
        self.0.signal.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(batch: &mut HandoffBatch) -> Vec<String> {
        let mut texts = Vec::new();
        batch.drain(|handoff| {
            let (kind, bytes) = match handoff {
                Handoff::Datagram(_, ecn, bytes) => (ecn.bits().to_string(), &*bytes),
                Handoff::Frame(bytes) => ("frame".to_owned(), bytes),
            };
            texts.push(format!("{kind} {}", String::from_utf8_lossy(bytes)));
        });
        texts
    }

    #[test]
    fn parcels_arrive_in_the_order_in_which_they_were_sent() {
        let handoff_queue = HandoffQueue::new().unwrap();
        let (mut one, mut other, mut taken) = Default::default();
        HandoffBatch::add_frame(&mut one, b"a");
        HandoffBatch::add_datagram(&mut one, Endpoint::BLANK, Ecn::Ce, b"b");
        HandoffBatch::add_frame(&mut other, b"c");
        handoff_queue.put(&mut one);
        handoff_queue.put(&mut other);
        handoff_queue.take(&mut taken);
        assert_eq!(texts(&mut taken), ["frame a", "3 b", "frame c"]);
        handoff_queue.take(&mut taken);
        assert!(texts(&mut taken).is_empty());
    }

    #[test]
    fn what_was_handed_over_lies_about_nowhere() {
        let handoff_queue = HandoffQueue::new().unwrap();
        let (mut from, mut to) = Default::default();
        for text in [&b"secret"[..], b"longer secret"] {
            HandoffBatch::add_frame(&mut from, text);
            handoff_queue.put(&mut from);
            HandoffBatch::add_frame(&mut from, b"more");
            handoff_queue.put(&mut from);
            handoff_queue.take(&mut to);
            assert_eq!(texts(&mut to).len(), 2);
        }
        let mut last = HandoffBatch::default();
        handoff_queue.take(&mut last);
        for batch in [from, to, last] {
            assert!(batch.bytes.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_thread_that_takes_nothing_is_not_a_leak() {
        let handoff_queue = HandoffQueue::new().unwrap();
        let mut batch = HandoffBatch::default();
        for _ in 0..100 {
            batch.add_frame(&[7; 65_535]);
            handoff_queue.put(&mut batch);
        }
        handoff_queue.take(&mut batch);
        assert!(batch.used <= MAX_BYTES && batch.used > MAX_BYTES / 2);
    }
}
