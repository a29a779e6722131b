//! Handoff: packets that came to a packet thread that does not own their peer, on their way to the
//! thread that does.
//!
//! This is the rare case. A flow that the TUN device does not know comes by any queue. Where the
//! kernel does not steer datagrams, a datagram of a peer that has roamed comes to any socket. The
//! packets of one turn cross together, in order.
//!
//! It is rare until the device knows more than 4,096 flows. Then it forgets flows as fast as new ones
//! begin, and most frames may come by another queue. Every thread has a batch for every other one, so
//! the memory of all batches together is bounded, too. It is used again, zeroed after use, and freed
//! once the thread is quiet, or after a second.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use mayfly_tunnel::{Ecn, Endpoint};

/// How many bytes may wait for a thread. What would exceed it is lost, as on a wire.
const MAX_BYTES: usize = 2 << 20;
/// How many bytes the batches of all threads may take together, with their labels. What would exceed
/// it is lost as well.
const MAX_TOTAL: usize = 8 << 20;
/// For how many packets there is room at first.
const FEW: usize = 64;

/// One packet of a batch.
pub(crate) enum Handoff<'a> {
    /// A datagram, its endpoint, and the ECN field of its header.
    Datagram(Endpoint, Ecn, &'a mut [u8]),
    /// A frame of the TUN device.
    Frame(&'a [u8]),
}

/// What the batches of all threads take together, in bytes.
#[derive(Clone, Default)]
pub(crate) struct HandoffMemory(Arc<AtomicUsize>);

impl HandoffMemory {
    /// Takes `bytes`, if there is room for them.
    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_add(bytes, Ordering::Relaxed);
        let has_room = taken + bytes <= MAX_TOTAL;
        if !has_room {
            self.give_back(bytes);
        }
        has_room
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What a packet is, and where it ends. A frame has no endpoint.
type Label = (Option<(Endpoint, Ecn)>, usize);

/// Packets in the order in which they came. At most [`MAX_BYTES`].
pub(crate) struct HandoffBatch {
    bytes: Vec<u8>,
    used: usize,
    labels: Vec<Label>,
    memory: HandoffMemory,
}

impl HandoffBatch {
    fn new(memory: HandoffMemory) -> Self {
        Self {
            bytes: Vec::new(),
            used: 0,
            labels: Vec::new(),
            memory,
        }
    }

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
        if end > MAX_BYTES || !self.has_room(end) {
            return;
        }
        if let Some(room) = self.bytes.get_mut(self.used..end) {
            room.copy_from_slice(bytes);
            self.used = end;
            self.labels.push((label, end));
        }
    }

    /// Makes room for one more packet that ends at `end`, as far as the memory allows.
    fn has_room(&mut self, end: usize) -> bool {
        if self.bytes.len() < end {
            let len = end.next_power_of_two();
            if !self.memory.take(len - self.bytes.len()) {
                return false;
            }
            self.bytes.resize(len, 0);
        }
        if self.labels.len() == self.labels.capacity() {
            let more = self.labels.len().max(FEW);
            if !self.memory.take(more * size_of::<Label>()) {
                return false;
            }
            self.labels.reserve_exact(more);
        }
        true
    }

    /// Frees the memory of a batch that is empty.
    pub(crate) fn shrink(&mut self) {
        if self.labels.is_empty() {
            self.memory.give_back(self.taken());
            self.bytes = Vec::new();
            self.labels = Vec::new();
        }
    }

    /// What it has taken of the memory.
    fn taken(&self) -> usize {
        self.bytes.len() + self.labels.capacity() * size_of::<Label>()
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

impl Drop for HandoffBatch {
    fn drop(&mut self) {
        self.memory.give_back(self.taken());
    }
}

/// Where a thread finds the packets that others have for it. Clones are ends of the same queue.
#[derive(Clone)]
pub(crate) struct HandoffQueue(Arc<Shared>);

struct Shared {
    batch: Mutex<HandoffBatch>,
    /// Non-zero while there are packets.
    signal: EventFd,
    memory: HandoffMemory,
}

impl HandoffQueue {
    /// An empty queue, one of those that share this memory.
    ///
    /// # Errors
    /// There is no descriptor left for the eventfd.
    pub(crate) fn new(memory: HandoffMemory) -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(Shared {
            batch: Mutex::new(HandoffBatch::new(memory.clone())),
            memory,
            signal: EventFd::from_flags(flags)?,
        })))
    }

    /// An empty batch to put into this queue, or to take from it.
    pub(crate) fn new_batch(&self) -> HandoffBatch {
        HandoffBatch::new(self.0.memory.clone())
    }

    /// Frees the memory of the queue while it is empty.
    pub(crate) fn shrink(&self) {
        self.lock().shrink();
    }

    /// Moves all of `batch` into the queue, and wakes the thread. `batch` is empty then.
    pub(crate) fn put(&self, batch: &mut HandoffBatch) {
        if batch.labels.is_empty() {
            return;
        }
        let mut waiting = self.lock();
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
        let mut waiting = self.lock();
        mem::swap(&mut *waiting, batch);
    }

    /// Readable while there are packets.
    pub(crate) fn signal(&self) -> BorrowedFd<'_> {
        self.0.signal.as_fd()
    }

    fn lock(&self) -> MutexGuard<'_, HandoffBatch> {
        self.0.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(memory: &HandoffMemory) -> HandoffQueue {
        HandoffQueue::new(memory.clone()).unwrap()
    }

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
    fn packets_arrive_in_the_order_in_which_they_were_sent() {
        let handoff_queue = queue(&HandoffMemory::default());
        let [mut one, mut other, mut taken] = [(); 3].map(|()| handoff_queue.new_batch());
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
    fn nothing_of_what_was_handed_over_is_left() {
        let handoff_queue = queue(&HandoffMemory::default());
        let [mut from, mut to] = [(); 2].map(|()| handoff_queue.new_batch());
        for text in [&b"secret"[..], b"longer secret"] {
            HandoffBatch::add_frame(&mut from, text);
            handoff_queue.put(&mut from);
            HandoffBatch::add_frame(&mut from, b"more");
            handoff_queue.put(&mut from);
            handoff_queue.take(&mut to);
            assert_eq!(texts(&mut to).len(), 2);
        }
        let mut last = handoff_queue.new_batch();
        handoff_queue.take(&mut last);
        for batch in [from, to, last] {
            assert!(batch.bytes.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_thread_that_takes_nothing_is_not_a_leak() {
        let handoff_queue = queue(&HandoffMemory::default());
        let mut batch = handoff_queue.new_batch();
        for _ in 0..100 {
            batch.add_frame(&[7; 65_535]);
            handoff_queue.put(&mut batch);
        }
        handoff_queue.take(&mut batch);
        assert!(batch.used <= MAX_BYTES && batch.used > MAX_BYTES / 2);
    }

    /// Sixteen threads, each of which takes nothing and has much for every other one.
    #[test]
    fn all_batches_together_take_no_more_than_their_memory_and_give_it_back() {
        for packet in [&[7; 40][..], &[7; 65_535]] {
            let memory = HandoffMemory::default();
            let queues: Vec<_> = (0..16).map(|_| queue(&memory)).collect();
            let mut batches: Vec<_> = (0..16)
                .flat_map(|_| &queues)
                .map(|q| q.new_batch())
                .collect();
            for _ in 0..60 {
                for (number, batch) in batches.iter_mut().enumerate() {
                    (0..100).for_each(|_| batch.add_frame(packet));
                    if number % 2 == 0 {
                        queues[number % 16].put(batch);
                    }
                }
            }
            let taken = memory.0.load(Ordering::Relaxed);
            let waiting = queues.iter().map(|queue| queue.lock().taken());
            let all: usize = batches.iter().map(HandoffBatch::taken).chain(waiting).sum();
            assert_eq!(taken, all);
            assert!((MAX_TOTAL / 2..=MAX_TOTAL).contains(&all), "{all}");

            for queue in &queues {
                let mut taken = queue.new_batch();
                queue.take(&mut taken);
                taken.drain(|_| {});
                taken.shrink();
                queue.shrink();
            }
            for batch in &mut batches {
                batch.drain(|_| {});
                batch.shrink();
            }
            assert_eq!(memory.0.load(Ordering::Relaxed), 0);
            batches[0].add_frame(packet);
            assert_eq!(batches[0].labels.len(), 1, "there is room again");
        }
    }
}
