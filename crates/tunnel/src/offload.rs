//! Segmentation and coalescing, as a network card does them for a kernel: a train of packets
//! crosses into the kernel, and out of it, as one frame.
//!
//! ```text
//!   TUN  -> frame   -> [cut]  -> packets -> sealed, one datagram each
//!   UDP  -> packets -> [join] -> frames  -> TUN
//! ```
//!
//! Both are functions of bytes. Cutting a train gives the packets that were joined to it; a packet
//! that cannot be joined without a change to it stays alone. A wrong checksum stays wrong: only
//! packets with right checksums are joined.

mod checksum;
mod cut;
mod flow;
mod frame;
mod header;
mod join;

use crate::ip::{IPV4_HEADER, IPV6_HEADER};
use checksum::Sum;
pub(crate) use cut::cut;
pub use frame::Frame;
pub use header::FRAME_HEADER;
pub(crate) use header::{GsoType, Header};
pub(crate) use join::{Joiner, LONGEST_TRAIN};

/// RFC 9293 section 3.1: control bits.
mod flag {
    pub(super) const FIN: u8 = 0x01;
    pub(super) const PSH: u8 = 0x08;
    pub(super) const ACK: u8 = 0x10;
    pub(super) const CWR: u8 = 0x80;
}

/// Puts the checksum into a packet that holds the sum of its pseudo-header so far (see [`Header`]).
/// `None` if the header says to put it into the network header, which has been read by now.
pub(crate) fn finish(buffer: &mut [u8], len: usize, start: usize, offset: usize) -> Option<()> {
    let network = match buffer.first()? >> 4 {
        4 => IPV4_HEADER,
        _ => IPV6_HEADER,
    };
    if start < network {
        return None;
    }
    let rest = buffer.get_mut(start..len)?;
    let checksum = match Sum::default().bytes(rest).finish() {
        // RFC 768: zero would mean that there is none. RFC 1071 has two zeros, so use the other.
        0 => 0xffff,
        checksum => checksum,
    };
    put(rest, offset, checksum)
}

fn put(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

fn take(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|two| u16::from_be_bytes(*two))
}

#[cfg(test)]
mod tests;
