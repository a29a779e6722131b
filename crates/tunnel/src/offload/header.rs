//! The header before each packet of a TUN device that is opened with IFF_VNET_HDR:
//! `struct virtio_net_hdr` (Virtio 1.2 section 5.1.6, linux/virtio_net.h), in the machine's
//! byte order.

use crate::ip::field;

/// Length of the header before a frame's packet, in bytes.
pub const FRAME_HEADER: usize = 10;

const NEEDS_CHECKSUM: u8 = 1;

const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;

/// The kind of train in a frame: the header's `gso_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GsoType {
    Tcp4,
    Tcp6,
    Udp,
}

/// The content of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// One whole packet.
    Packet,
    /// One packet whose checksum is missing. It covers everything from `start` on and belongs at
    /// `offset` from there, where the sum of the pseudo-header already is.
    Unfinished { start: usize, offset: usize },
    /// The headers of one packet and the payload of several. Each has `segment` bytes; the last may
    /// have fewer. The transport header begins at `transport`.
    Train {
        kind: GsoType,
        transport: usize,
        segment: usize,
    },
}

impl Header {
    /// Reads a header; `None` if it asks for something that we never offered.
    pub(crate) fn decode(bytes: [u8; FRAME_HEADER]) -> Option<Self> {
        let [flags, kind, _, _, g0, g1, s0, s1, o0, o1] = bytes;
        let number = |low, high| usize::from(u16::from_ne_bytes([low, high]));
        let (segment, start, offset) = (number(g0, g1), number(s0, s1), number(o0, o1));
        let unfinished = flags & NEEDS_CHECKSUM != 0;
        let kind = match kind {
            GSO_NONE if unfinished => return Some(Self::Unfinished { start, offset }),
            GSO_NONE => return Some(Self::Packet),
            GSO_TCP4 => GsoType::Tcp4,
            GSO_TCP6 => GsoType::Tcp6,
            GSO_UDP => GsoType::Udp,
            _ => return None,
        };
        (unfinished && segment > 0).then_some(Self::Train {
            kind,
            transport: start,
            segment,
        })
    }

    /// Writes a header. `header_len` is the total length of the packet's headers, in bytes.
    pub(crate) fn encode(self, header_len: usize) -> [u8; FRAME_HEADER] {
        let (kind, header_len, segment, start, offset) = match self {
            Self::Packet => return [0; FRAME_HEADER],
            Self::Unfinished { start, offset } => (GSO_NONE, 0, 0, start, offset),
            Self::Train {
                kind,
                transport,
                segment,
            } => {
                let (kind, offset) = match kind {
                    GsoType::Tcp4 => (GSO_TCP4, field::TCP_CHECKSUM),
                    GsoType::Tcp6 => (GSO_TCP6, field::TCP_CHECKSUM),
                    GsoType::Udp => (GSO_UDP, field::UDP_CHECKSUM),
                };
                (kind, header_len, segment, transport, offset)
            }
        };
        let [h0, h1] = (header_len as u16).to_ne_bytes();
        let [g0, g1] = (segment as u16).to_ne_bytes();
        let [s0, s1] = (start as u16).to_ne_bytes();
        let [o0, o1] = (offset as u16).to_ne_bytes();
        [NEEDS_CHECKSUM, kind, h0, h1, g0, g1, s0, s1, o0, o1]
    }
}
