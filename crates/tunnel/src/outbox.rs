//! The output of a tunnel's calls, in memory that is reused.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::Range;

use crate::Ecn;
use crate::offload::Joiner;

/// WireGuard's endpoint of a peer, with the address of the node that the peer sends to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The peer's address, from which a datagram came or to which it goes.
    pub remote: SocketAddr,
    /// The node's own address that the peer sends to, and that answers must come from.
    pub local: Option<IpAddr>,
}

/// A datagram to send.
#[derive(Clone, Copy)]
pub struct Datagram<'a> {
    /// Where to send it, and from which local address.
    pub endpoint: Endpoint,
    /// The ECN field of its header.
    pub ecn: Ecn,
    /// The UDP payload.
    pub bytes: &'a [u8],
}

/// Datagrams of one length and ECN field to one endpoint, as one segmented send takes them.
#[derive(Clone, Copy)]
pub struct Train<'a> {
    /// Where to send them, and from which local address.
    pub endpoint: Endpoint,
    /// The ECN field of each header.
    pub ecn: Ecn,
    /// Length of each UDP payload, in bytes; only the last may be shorter.
    pub segment: usize,
    /// The UDP payloads, one after another.
    pub bytes: &'a [u8],
}

/// Datagrams for the network and packets for the TUN device.
///
/// The tunnel's calls append to it. The caller sends and writes everything, and then
/// [clears](Self::clear) it. Datagrams are in one contiguous arena and packets in another, in the
/// order in which they were made. The memory grows to the largest batch and stays: the caller
/// bounds it by how much it hands in between two clearings.
#[derive(Default)]
pub struct Outbox {
    pub(crate) datagrams: Arena<(Endpoint, Ecn)>,
    pub(crate) packets: Arena<()>,
    joiner: Joiner,
}

/// UDP datagrams in one segmented send, at most (UDP_MAX_SEGMENTS of linux/udp.h).
const LONGEST_TRAIN: usize = 64;
/// UDP payload of an IPv4 packet, in bytes, at most.
const LONGEST_PAYLOAD: usize = 65_507;

impl Outbox {
    /// An empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// The datagrams, in the order in which they were made.
    pub fn datagrams(&self) -> impl ExactSizeIterator<Item = Datagram<'_>> {
        self.datagrams
            .iter()
            .map(|((endpoint, ecn), bytes)| Datagram {
                endpoint,
                ecn,
                bytes,
            })
    }

    /// The datagrams in the order in which they were made. Neighbours are one train if one
    /// segmented send can carry them.
    pub fn trains(&self) -> impl Iterator<Item = Train<'_>> {
        let mut datagrams = self.datagrams.iter().peekable();
        let mut start = 0;
        std::iter::from_fn(move || {
            let (label, first) = datagrams.next()?;
            let (segment, mut len, mut count) = (first.len(), first.len(), 1);
            let mut last = segment;
            while last == segment
                && count < LONGEST_TRAIN
                && let Some((_, next)) = datagrams.next_if(|(other, next)| {
                    *other == label && next.len() <= segment && len + next.len() <= LONGEST_PAYLOAD
                })
            {
                (last, count) = (next.len(), count + 1);
                len += last;
            }
            let bytes = &self.datagrams.bytes[start..start + len];
            start += len;
            let (endpoint, ecn) = label;
            Some(Train {
                endpoint,
                ecn,
                segment,
                bytes,
            })
        })
    }

    /// The inner packets, in the order in which they came.
    pub fn packets(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.packets.iter().map(|((), bytes)| bytes)
    }

    /// Calls `write` with the inner packets as frames of a TUN device. The parts of a frame are
    /// its header, the first packet, and the payload of each further packet. Packets of one flow
    /// stay in order; neighbours in a flow are joined if that changes neither of them. UDP is
    /// joined only if the device takes trains of UDP.
    pub fn write_frames(&mut self, udp: bool, mut write: impl FnMut(&[IoSlice<'_>])) {
        let Self {
            packets, joiner, ..
        } = self;
        joiner.clear();
        for (_, own) in packets.iter() {
            joiner.add(own, udp, |number| packets.string(number));
        }
        for joined in joiner.joined() {
            let pushes = joined.pushes(|number| packets.string(number));
            let header = joined.finish(packets.string_mut(joined.first()), pushes);
            let mut parts = [IoSlice::new(&[]); LONGEST_FRAME];
            parts[0] = IoSlice::new(&header);
            parts[1] = IoSlice::new(packets.string(joined.first()));
            let mut used = 2;
            for number in joiner.rest(*joined) {
                let payload = packets.string(number).get(joined.payload_at()..);
                parts[used] = IoSlice::new(payload.unwrap_or_default());
                used += 1;
            }
            write(&parts[..used]);
        }
    }

    /// Whether there is nothing to send or write.
    pub fn is_empty(&self) -> bool {
        self.datagrams.spans.is_empty() && self.packets.spans.is_empty()
    }

    /// Total length of the datagrams, in bytes.
    pub fn datagram_bytes(&self) -> usize {
        self.datagrams.end()
    }

    /// Empties it for the next batch, which uses the same memory.
    pub fn clear(&mut self) {
        self.datagrams.spans.clear();
        self.packets.spans.clear();
    }

    /// Empties it and zeroes all memory that was used, so that addresses and plain text do not stay
    /// in memory while nothing comes that would overwrite them.
    pub fn scrub(&mut self) {
        self.datagrams.scrub((Endpoint::BLANK, Ecn::NotEct));
        self.packets.scrub(());
    }
}

/// Parts of a frame, at most: its header, the first packet, and the payload of all others.
const LONGEST_FRAME: usize = 1 + crate::offload::LONGEST_TRAIN;

impl Endpoint {
    /// No peer's endpoint. It overwrites every byte of one: no variant of an address is longer.
    pub const BLANK: Self = Self {
        remote: SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0)),
        local: Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
}

/// Byte strings, one after another, each with a label.
pub(crate) struct Arena<L> {
    bytes: Vec<u8>,
    /// Label and end of each string, which begins where the one before it ends.
    spans: Vec<(L, usize)>,
    /// End of the memory that may have been written, whether it was kept or not.
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
    /// `len` bytes to write the next string into. If it is asked for again before anything is kept,
    /// it is the same memory, with the bytes that were written there.
    pub(crate) fn room(&mut self, len: usize) -> &mut [u8] {
        let start = self.end();
        let end = start + len;
        if self.bytes.len() < end {
            self.bytes.resize(end.next_power_of_two(), 0);
        }
        self.touched = self.touched.max(end);
        &mut self.bytes[start..end]
    }

    /// Keeps the first `len` bytes of the [`room`](Self::room) that was last asked for.
    pub(crate) fn keep(&mut self, label: L, len: usize) {
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

    fn range(&self, number: u32) -> Range<usize> {
        let number = number as usize;
        let start = match number.checked_sub(1) {
            Some(before) => self.spans[before].1,
            None => 0,
        };
        start..self.spans[number].1
    }

    /// The string with this number, from 0.
    fn string(&self, number: u32) -> &[u8] {
        &self.bytes[self.range(number)]
    }

    fn string_mut(&mut self, number: u32) -> &mut [u8] {
        let range = self.range(number);
        &mut self.bytes[range]
    }

    fn scrub(&mut self, blank: L) {
        self.bytes[..self.touched].fill(0);
        self.touched = 0;
        let spans = self.spans.capacity();
        self.spans.clear();
        self.spans.resize(spans, (blank, 0));
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
    fn scrubbed_memory_is_kept_and_holds_nothing() {
        let mut arena = Arena::default();
        put(&mut arena, 1, b"kept");
        arena.room(100).fill(0xff);
        let memory = arena.bytes.capacity();
        arena.scrub(0);
        assert_eq!(arena.iter().len(), 0);
        assert!(arena.bytes.iter().all(|&byte| byte == 0));
        assert_eq!(arena.bytes.capacity(), memory);
    }
}
