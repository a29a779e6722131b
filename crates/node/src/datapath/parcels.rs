//! What came to a packet thread that does not own its peer, on its way to the one that does.
//!
//! It is the unusual way: a flow that the TUN device does not know comes by any queue, and where
//! the kernel does not steer datagrams, one that has roamed comes to any socket. A turn's worth
//! crosses at once, in order, in memory that goes round; all of it is zeroed when it is done with.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::eventfd::{EfdFlags, EventFd};

use mayfly_tunnel::{Ecn, Endpoint};

/// Bytes that wait for a thread; what comes when there are so many is lost, as on a wire.
const MOST: usize = 2 << 20;

/// One of them.
pub enum Parcel<'a> {
    /// A datagram, where it came from, and what its header said of congestion.
    Datagram(Endpoint, Ecn, &'a mut [u8]),
    /// A frame of the TUN device.
    Frame(&'a [u8]),
}

/// Several, in the order in which they came.
#[derive(Default)]
pub struct Parcels {
    bytes: Vec<u8>,
    used: usize,
    /// What each is, and where it ends.
    labels: Vec<(Option<(Endpoint, Ecn)>, usize)>,
}

impl Parcels {
    /// Adds a datagram.
    pub fn add_datagram(&mut self, endpoint: Endpoint, ecn: Ecn, datagram: &[u8]) {
        self.add(Some((endpoint, ecn)), datagram);
    }

    /// Adds a frame.
    pub fn add_frame(&mut self, frame: &[u8]) {
        self.add(None, frame);
    }

    /// Calls `each` with all, and forgets them.
    pub fn drain(&mut self, mut each: impl FnMut(Parcel<'_>)) {
        let mut start = 0;
        for &(label, end) in &self.labels {
            let Some(bytes) = self.bytes.get_mut(start..end) else {
                break;
            };
            start = end;
            each(match label {
                Some((endpoint, ecn)) => Parcel::Datagram(endpoint, ecn, bytes),
                None => Parcel::Frame(bytes),
            });
        }
        self.forget();
    }

    fn add(&mut self, label: Option<(Endpoint, Ecn)>, bytes: &[u8]) {
        let end = self.used + bytes.len();
        if end > MOST {
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

    /// Takes those of another behind its own.
    fn append(&mut self, other: &mut Self) {
        other.drain(|parcel| match parcel {
            Parcel::Datagram(endpoint, ecn, datagram) => self.add_datagram(endpoint, ecn, datagram),
            Parcel::Frame(frame) => self.add_frame(frame),
        });
    }

    /// Zeroes what was in use; nothing else of its memory ever is anything but zero.
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

/// Where a thread finds what others have for it; clones are the same one.
#[derive(Clone)]
pub struct Inbox(Arc<Shared>);

struct Shared {
    parcels: Mutex<Parcels>,
    /// Non-zero: there are some.
    signal: EventFd,
}

impl Inbox {
    /// An empty one.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new() -> nix::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self(Arc::new(Shared {
            parcels: Mutex::default(),
            signal: EventFd::from_flags(flags)?,
        })))
    }

    /// Puts all of `parcels` in, which is empty then, and wakes the thread.
    pub fn put(&self, parcels: &mut Parcels) {
        if parcels.labels.is_empty() {
            return;
        }
        let mut waiting = self
            .0
            .parcels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let was_empty = waiting.labels.is_empty();
        if was_empty {
            mem::swap(&mut *waiting, parcels);
        } else {
            waiting.append(parcels);
        }
        drop(waiting);
        if was_empty {
            // It fails only where 2^64 - 2 wake-ups wait: the thread is awake then.
            let _ = self.0.signal.write(1);
        }
    }

    /// Takes all into `parcels`, which must be empty.
    pub fn take(&self, parcels: &mut Parcels) {
        // Before it is emptied: what comes in between wakes once more.
        let _ = self.0.signal.read();
        let mut waiting = self
            .0
            .parcels
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut *waiting, parcels);
    }

    /// Readable while there is something.
    pub fn signal(&self) -> BorrowedFd<'_> {
        self.0.signal.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(parcels: &mut Parcels) -> Vec<String> {
        let mut texts = Vec::new();
        parcels.drain(|parcel| {
            let (kind, bytes) = match parcel {
                Parcel::Datagram(_, ecn, bytes) => (ecn.bits().to_string(), &*bytes),
                Parcel::Frame(bytes) => ("frame".to_owned(), bytes),
            };
            texts.push(format!("{kind} {}", String::from_utf8_lossy(bytes)));
        });
        texts
    }

    #[test]
    fn parcels_arrive_in_the_order_in_which_they_were_sent() {
        let inbox = Inbox::new().unwrap();
        let (mut one, mut other, mut taken) = Default::default();
        Parcels::add_frame(&mut one, b"a");
        Parcels::add_datagram(&mut one, Endpoint::BLANK, Ecn::Ce, b"b");
        Parcels::add_frame(&mut other, b"c");
        inbox.put(&mut one);
        inbox.put(&mut other);
        inbox.take(&mut taken);
        assert_eq!(texts(&mut taken), ["frame a", "3 b", "frame c"]);
        inbox.take(&mut taken);
        assert!(texts(&mut taken).is_empty());
    }

    #[test]
    fn what_was_handed_over_lies_about_nowhere() {
        let inbox = Inbox::new().unwrap();
        let (mut from, mut to) = Default::default();
        for text in [&b"secret"[..], b"longer secret"] {
            Parcels::add_frame(&mut from, text);
            inbox.put(&mut from);
            Parcels::add_frame(&mut from, b"more");
            inbox.put(&mut from);
            inbox.take(&mut to);
            assert_eq!(texts(&mut to).len(), 2);
        }
        let mut last = Parcels::default();
        inbox.take(&mut last);
        for parcels in [from, to, last] {
            assert!(parcels.bytes.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_thread_that_takes_nothing_is_not_a_leak() {
        let inbox = Inbox::new().unwrap();
        let mut parcels = Parcels::default();
        for _ in 0..100 {
            parcels.add_frame(&[7; 65_535]);
            inbox.put(&mut parcels);
        }
        inbox.take(&mut parcels);
        assert!(parcels.used <= MOST && parcels.used > MOST / 2);
    }
}
