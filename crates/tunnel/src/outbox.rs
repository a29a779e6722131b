//! What a call produced, in memory that is used again and again.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// The two ends of a datagram's way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// The other end: where a datagram came from, or goes to.
    pub remote: SocketAddr,
    /// The node's own address that was spoken to, and that the answer must come from.
    pub local: Option<IpAddr>,
}

/// A datagram to be sent.
#[derive(Clone, Copy)]
pub struct Datagram<'a> {
    /// Where to, and by which local address.
    pub path: Path,
    /// The UDP payload.
    pub bytes: &'a [u8],
}

/// Datagrams for the network and packets for the TUN device.
///
/// Calls append; the caller carries everything out and [clears](Self::clear). Each kind lies in
/// one contiguous arena in the order it was made, so that a run of equal datagrams to one path
/// can leave as one segmented send. The memory grows to the largest batch and stays: the caller
/// bounds it by how much it hands in between two clearings.
#[derive(Default)]
pub struct Outbox {
    pub(crate) datagrams: Arena<Path>,
    pub(crate) packets: Arena<()>,
}

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// The datagrams, in the order in which they were made.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        self.datagrams
            .iter()
            .map(|(path, bytes)| Datagram { path, bytes })
    }

    /// The inner packets, in the order in which they came.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.packets.iter().map(|((), bytes)| bytes)
    }

    /// Whether there is nothing to carry out.
    pub fn is_empty(&self) -> bool {
        self.datagrams.spans.is_empty() && self.packets.spans.is_empty()
    }

    /// Zeroes what it holds and keeps the memory: addresses and plain text do not outlive a batch.
    pub fn clear(&mut self) {
        self.datagrams.clear(Path::BLANK);
        self.packets.clear(());
    }
}

impl Path {
    /// Overwrites all of a path: no variant of an address is longer.
    const BLANK: Self = Self {
        remote: SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)),
        local: Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
}

/// Byte strings one after the other, each with a label.
pub(crate) struct Arena<L> {
    bytes: Vec<u8>,
    /// Label and end of each string; it begins where the one before it ends.
    spans: Vec<(L, usize)>,
    /// As far as anything was written, kept or not.
    touched: usize,
}

impl<L> Default for Arena<L> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            spans: Vec::new(),
            touched: 0,
        }
    }
}

impl<L: Copy> Arena<L> {
    /// `len` bytes to write the next string into. Asked for again before anything is kept, it is
    /// the same memory with what was written there.
    pub fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.end();
        let end = start + len;
        if self.bytes.len() < end {
            self.bytes.resize(end.next_power_of_two(), 0);
        }
        self.touched = self.touched.max(end);
        &mut self.bytes[start..end]
    }

    /// Keeps the first `len` bytes of the [`room`](Self::room) asked for last.
    pub fn keep(&mut self, label: L, len: usize) {
        let end = self.end() + len;
        debug_assert!(end <= self.touched);
        self.spans.push((label, end));
    }

    fn end(&self) -> usize {
        self.spans.last().map_or(0, |&(_, end)| end)
    }

    fn iter(&self) -> impl ExactSizeIterator<Item = (L, &[u8])> {
        let mut start = 0;
        self.spans.iter().map(move |&(label, end)| {
            let bytes = &self.bytes[start..end];
            start = end;
            (label, bytes)
        })
    }

    fn clear(&mut self, blank: L) {
        self.bytes[..self.touched].fill(0);
        self.touched = 0;
        self.spans.fill((blank, 0));
        self.spans.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(arena: &mut Arena<u8>, label: u8, text: &[u8]) {
        arena.room(text.len() + 9)[..text.len()].copy_from_slice(text);
        arena.keep(label, text.len());
    }

    #[test]
    fn strings_lie_one_after_the_other() {
        let mut arena = Arena::default();
        put(&mut arena, 1, b"one");
        put(&mut arena, 2, b"");
        put(&mut arena, 3, b"three");
        let all: Vec<_> = arena.iter().collect();
        assert_eq!(all, [(1, &b"one"[..]), (2, b""), (3, b"three")]);
        assert_eq!(&arena.bytes[..8], b"onethree");
    }

    #[test]
    fn cleared_memory_is_kept_and_holds_nothing() {
        let mut arena = Arena::default();
        put(&mut arena, 1, b"kept");
        arena.room(100).fill(0xff);
        let memory = arena.bytes.capacity();
        arena.clear(0);
        assert_eq!(arena.iter().len(), 0);
        assert!(arena.bytes.iter().all(|&byte| byte == 0));
        assert_eq!(arena.bytes.capacity(), memory);
    }
}
