//! Cuts a train into the packets that a network card would make of it.
//!
//! This is done in place: the headers of each packet are written right before its share of the
//! payload, over the end of the previous share, which has been sealed by then.

use super::checksum::{Sum, pseudo_header};
use super::{GsoType, flag, put, take};
use crate::ip::{IPV4_HEADER, IPV6_HEADER, TCP_HEADER, UDP_HEADER, field, protocol};

/// Total length of a packet's headers, in bytes, at most. The kernel sends none as long as this.
const LONGEST_HEADERS: usize = 256;

/// Calls `each` with every packet of a train, in order: with a buffer that begins with the packet,
/// and with the packet's length. The bytes behind the packet belong to the next one: `each` may
/// change them if it restores them.
///
/// `None` if the headers are not those of a train of this kind; `each` is not called then.
pub(crate) fn cut(
    kind: GsoType,
    transport: usize,
    segment: usize,
    buffer: &mut [u8],
    len: usize,
    mut each: impl FnMut(&mut [u8], usize),
) -> Option<()> {
    let template = Template::read(kind, transport, buffer.get(..len)?)?;
    let payload = len - template.len;
    let count = payload.div_ceil(segment).max(1);
    for index in 0..count {
        let start = index * segment;
        let share = segment.min(payload - start);
        let packet = buffer.get_mut(start..)?;
        let len = template.len + share;
        template.write(index, segment, index + 1 == count, packet.get_mut(..len)?)?;
        each(packet, len);
    }
    Some(())
}

/// The headers of a train's first packet.
struct Template {
    bytes: [u8; LONGEST_HEADERS],
    len: usize,
    transport: usize,
    kind: GsoType,
    pseudo_header: Sum,
}

impl Template {
    fn read(kind: GsoType, transport: usize, packet: &[u8]) -> Option<Self> {
        let (version, shortest) = match (kind, packet.first()? >> 4) {
            (GsoType::Tcp4 | GsoType::Udp, 4) => (4, IPV4_HEADER),
            (GsoType::Tcp6 | GsoType::Udp, 6) => (6, IPV6_HEADER),
            _ => return None,
        };
        if transport < shortest || (version == 4 && transport != ipv4_header_len(packet)?) {
            return None;
        }
        let (number, len) = match kind {
            GsoType::Udp => (protocol::UDP, transport + UDP_HEADER),
            GsoType::Tcp4 | GsoType::Tcp6 => {
                let words = packet.get(transport + field::TCP_OFFSET)? >> 4;
                let header = usize::from(words) * 4;
                if header < TCP_HEADER {
                    return None;
                }
                (protocol::TCP, transport + header)
            }
        };
        let mut bytes = [0; LONGEST_HEADERS];
        bytes.get_mut(..len)?.copy_from_slice(packet.get(..len)?);
        Some(Self {
            bytes,
            len,
            transport,
            kind,
            pseudo_header: pseudo_header(packet, number)?,
        })
    }

    /// Writes the headers of the packet with this index, before its share of the payload.
    fn write(&self, index: usize, segment: usize, last: bool, packet: &mut [u8]) -> Option<()> {
        packet
            .get_mut(..self.len)?
            .copy_from_slice(self.bytes.get(..self.len)?);
        let (ip, transport) = packet.split_at_mut_checked(self.transport)?;
        let len = transport.len();
        self.write_ip(ip, index, len)?;
        let at = match self.kind {
            GsoType::Udp => {
                put(transport, field::UDP_LEN, len as u16)?;
                field::UDP_CHECKSUM
            }
            GsoType::Tcp4 | GsoType::Tcp6 => {
                write_tcp(transport, index, segment, last)?;
                field::TCP_CHECKSUM
            }
        };
        put(transport, at, 0)?;
        let sum = self.pseudo_header.number(len as u16).bytes(transport);
        // RFC 768: zero would mean that there is none.
        let checksum = match sum.finish() {
            0 if self.kind == GsoType::Udp => 0xffff,
            checksum => checksum,
        };
        put(transport, at, checksum)
    }

    fn write_ip(&self, ip: &mut [u8], index: usize, transport_len: usize) -> Option<()> {
        let len = ip.len() + transport_len;
        if ip.first()? >> 4 == 6 {
            return put(ip, field::IPV6_PAYLOAD_LEN, (len - IPV6_HEADER) as u16);
        }
        put(ip, field::IPV4_TOTAL_LEN, len as u16)?;
        let id = take(ip, field::IPV4_ID)?;
        put(ip, field::IPV4_ID, id.wrapping_add(index as u16))?;
        put(ip, field::IPV4_CHECKSUM, 0)?;
        let checksum = Sum::default().bytes(ip).finish();
        put(ip, field::IPV4_CHECKSUM, checksum)
    }
}

fn ipv4_header_len(packet: &[u8]) -> Option<usize> {
    Some(usize::from(packet.first()? & 0x0f) * 4)
}

/// FIN and PSH go to the last packet only, CWR to the first only (RFC 3168 section 6.1.2).
fn write_tcp(tcp: &mut [u8], index: usize, segment: usize, last: bool) -> Option<()> {
    let sequence = tcp.get_mut(field::TCP_SEQUENCE..)?.first_chunk_mut::<4>()?;
    let advanced = (index * segment) as u32;
    *sequence = u32::from_be_bytes(*sequence)
        .wrapping_add(advanced)
        .to_be_bytes();
    let flags = tcp.get_mut(field::TCP_FLAGS)?;
    if !last {
        *flags &= !(flag::FIN | flag::PSH);
    }
    if index > 0 {
        *flags &= !flag::CWR;
    }
    Some(())
}
