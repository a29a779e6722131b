//! Which packets may be joined: what must be the same in neighbours.

use std::ops::Range;

use super::checksum::{Sum, pseudo_header};
use super::{GsoType, flag, take};
use crate::ip::{IPV4_HEADER, IPV6_HEADER, PORTS, TCP_HEADER, UDP_HEADER, field, protocol};

/// IPv4: fragment offset and "more fragments" (RFC 791 section 3.1).
const FRAGMENT: u16 = 0x3fff;
const DONT_FRAGMENT: u16 = 0x4000;

/// A packet that could be part of a train.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub kind: GsoType,
    /// Where the transport header begins.
    pub transport: usize,
    /// Where the payload begins.
    pub payload: usize,
}

/// How a packet relates to its neighbours.
pub(super) enum Place {
    /// It could be part of a train.
    InTrain(Candidate),
    /// It stays alone, and no packet with the same addresses may overtake it.
    Alone,
}

impl Place {
    /// The place of a whole IP packet.
    pub(super) fn of(packet: &[u8]) -> Self {
        candidate(packet).map_or(Self::Alone, Self::InTrain)
    }
}

/// Accepts only packets that a train can represent: no IPv4 options, no fragments, no extension
/// headers; data, with no TCP flag but ACK and PSH (so without urgent data); every checksum right.
fn candidate(packet: &[u8]) -> Option<Candidate> {
    let (transport, number) = match *packet.first()? {
        0x45 => {
            let header = packet.get(..IPV4_HEADER)?;
            if take(header, field::IPV4_FLAGS)? & FRAGMENT != 0
                || !Sum::default().bytes(header).holds()
            {
                return None;
            }
            (IPV4_HEADER, header[field::IPV4_PROTOCOL])
        }
        first if first >> 4 == 6 => (IPV6_HEADER, *packet.get(field::IPV6_NEXT_HEADER)?),
        _ => return None,
    };
    let (kind, payload) = match (number, transport) {
        (protocol::TCP, IPV4_HEADER) => (
            GsoType::Tcp4,
            transport + tcp_header(packet.get(transport..)?)?,
        ),
        (protocol::TCP, _) => (
            GsoType::Tcp6,
            transport + tcp_header(packet.get(transport..)?)?,
        ),
        (protocol::UDP, _) => (
            GsoType::Udp,
            transport + udp_header(packet.get(transport..)?)?,
        ),
        _ => return None,
    };
    let rest = packet.get(transport..)?;
    let whole = pseudo_header(packet, number)?
        .number(rest.len() as u16)
        .bytes(rest);
    (payload < packet.len() && whole.holds()).then_some(Candidate {
        kind,
        transport,
        payload,
    })
}

fn tcp_header(tcp: &[u8]) -> Option<usize> {
    let flags = tcp.get(field::TCP_FLAGS)?;
    let reserved = tcp.get(field::TCP_OFFSET)? & 0x0f;
    if flags & !flag::PSH != flag::ACK || reserved != 0 {
        return None;
    }
    let len = usize::from(tcp.get(field::TCP_OFFSET)? >> 4) * 4;
    (len >= TCP_HEADER && len <= tcp.len()).then_some(len)
}

fn udp_header(udp: &[u8]) -> Option<usize> {
    let whole = usize::from(take(udp, field::UDP_LEN)?) == udp.len();
    let has_checksum = take(udp, field::UDP_CHECKSUM)? != 0;
    (whole && has_checksum).then_some(UDP_HEADER)
}

/// Both addresses of an IP packet, whatever its payload.
pub(super) fn addresses(packet: &[u8]) -> Option<&[u8]> {
    match packet.first()? >> 4 {
        4 => packet.get(field::IPV4_ADDRESSES..IPV4_HEADER),
        _ => packet.get(field::IPV6_ADDRESSES..IPV6_HEADER),
    }
}

/// Whether two candidates are of one flow, by addresses, protocol and ports.
pub(super) fn same_flow(a: (&[u8], Candidate), b: (&[u8], Candidate)) -> bool {
    let ports = |(packet, candidate): (&[u8], Candidate)| {
        packet
            .get(candidate.transport..)
            .and_then(|transport| transport.first_chunk::<PORTS>().copied())
    };
    a.1.kind == b.1.kind && addresses(a.0) == addresses(b.0) && ports(a) == ports(b)
}

/// Whether `next` can be packet number `index` of the train that begins with `first`, whose payload
/// is `segment` bytes.
pub(super) fn continues(
    first: (&[u8], Candidate),
    next: (&[u8], Candidate),
    index: usize,
    segment: usize,
) -> Option<bool> {
    let (a, b) = (first.0, next.0);
    if (first.1.payload, first.1.transport) != (next.1.payload, next.1.transport) {
        return Some(false);
    }
    let ip = if first.1.transport == IPV4_HEADER {
        continues_ipv4(a, b, index)?
    } else {
        // Traffic class and flow label, then next header and hop limit.
        const FLOW: Range<usize> = 0..field::IPV6_PAYLOAD_LEN;
        const HOPS: Range<usize> = field::IPV6_NEXT_HEADER..field::IPV6_ADDRESSES;
        a.get(FLOW)? == b.get(FLOW)? && a.get(HOPS)? == b.get(HOPS)?
    };
    let transport = match first.1.kind {
        GsoType::Udp => true,
        GsoType::Tcp4 | GsoType::Tcp6 => {
            let a = a.get(first.1.transport..first.1.payload)?;
            let b = b.get(next.1.transport..next.1.payload)?;
            continues_tcp(a, b, index * segment)?
        }
    };
    Some(ip && transport)
}

/// Service class, TTL and "don't fragment" must be the same. The identification must count up,
/// unless it means nothing (RFC 6864 section 4.1).
fn continues_ipv4(a: &[u8], b: &[u8], index: usize) -> Option<bool> {
    let flags = take(a, field::IPV4_FLAGS)?;
    let id = take(a, field::IPV4_ID)?.wrapping_add(index as u16);
    let alike = a.get(field::IPV4_SERVICE)? == b.get(field::IPV4_SERVICE)?
        && a.get(field::IPV4_TTL)? == b.get(field::IPV4_TTL)?
        && flags == take(b, field::IPV4_FLAGS)?;
    let counts = id == take(b, field::IPV4_ID)? || flags & DONT_FRAGMENT != 0;
    Some(alike && counts)
}

/// Acknowledgement, window, urgent pointer and options must be the same. The sequence number must
/// continue.
fn continues_tcp(a: &[u8], b: &[u8], advanced: usize) -> Option<bool> {
    let sequence = |tcp: &[u8]| {
        tcp.get(field::TCP_SEQUENCE..)?
            .first_chunk()
            .map(|four| u32::from_be_bytes(*four))
    };
    let goes_on = sequence(a)?.wrapping_add(advanced as u32) == sequence(b)?;
    const ACKNOWLEDGMENT: Range<usize> = field::TCP_ACKNOWLEDGMENT..field::TCP_FLAGS;
    const WINDOW: Range<usize> = field::TCP_WINDOW..field::TCP_CHECKSUM;
    let alike = a.get(ACKNOWLEDGMENT)? == b.get(ACKNOWLEDGMENT)?
        && a.get(WINDOW)? == b.get(WINDOW)?
        && a.get(field::TCP_URGENT..)? == b.get(field::TCP_URGENT..)?;
    Some(goes_on && alike)
}

/// Whether a TCP packet ends a train: PSH asks the receiver to hand on the data so far.
pub(super) fn pushes(packet: &[u8], candidate: Candidate) -> bool {
    candidate.kind != GsoType::Udp
        && packet
            .get(candidate.transport + field::TCP_FLAGS)
            .is_some_and(|flags| flags & flag::PSH != 0)
}
