//! A frame of the TUN device, in memory that is reused.

use super::{FRAME_HEADER, Header};
use crate::spec::PADDING;

/// Longest packet that an IP header's length field allows, in bytes.
const LONGEST_PACKET: usize = 65_535;

/// The result of one read of a TUN device: a header, then a packet or a train of packets.
pub struct Frame {
    /// With room behind the longest packet for its padding.
    bytes: Box<[u8]>,
    len: usize,
    touched: usize,
}

impl Default for Frame {
    fn default() -> Self {
        Self {
            bytes: vec![0; FRAME_HEADER + LONGEST_PACKET + PADDING].into_boxed_slice(),
            len: 0,
            touched: 0,
        }
    }
}

impl Frame {
    /// An empty frame.
    pub fn new() -> Self {
        Self::default()
    }

    /// The memory to read into. Call [`fill`](Self::fill) after the read.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[..FRAME_HEADER + LONGEST_PACKET]
    }

    /// Notes how many bytes were read.
    pub fn fill(&mut self, len: usize) {
        self.len = len.min(FRAME_HEADER + LONGEST_PACKET);
        self.touched = self.touched.max(self.len + PADDING);
    }

    /// Zeroes everything that was ever read into it.
    pub fn scrub(&mut self) {
        self.bytes[..self.touched].fill(0);
        (self.len, self.touched) = (0, 0);
    }

    /// The header, the packet with room behind it for its padding, and the packet's length.
    #[inline]
    pub(crate) fn split(&mut self) -> Option<(Header, &mut [u8], usize)> {
        let (header, packet) = self.bytes.split_first_chunk_mut()?;
        let len = self.len.checked_sub(FRAME_HEADER)?;
        Some((Header::decode(*header)?, packet, len))
    }
}
