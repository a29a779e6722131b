//! ICMPv6 "destination unreachable, administratively prohibited" (RFC 4443 section 3.1, type 1
//! code 1). A peer without IPv6 gets it when it sends IPv6, so that its programs fall back to IPv4
//! at once.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::Range;

use super::inner::Inner;
use crate::ip::protocol::{DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMPV6, ROUTING};
use crate::ip::{IPV6_HEADER, field};

/// RFC 4443 section 3.1: no error is longer than the minimum MTU of IPv6, in bytes.
pub(crate) const LONGEST: usize = 1_280;
const ICMP_HEADER: usize = 8;

const UNREACHABLE: u8 = 1;
const PROHIBITED: u8 = 1;
/// RFC 4443 section 2.1: all types below this are errors.
const FIRST_INFORMATIONAL: u8 = 128;
/// RFC 4443 section 2.4 (e.2); RFC 4861 section 4.5.
const REDIRECT: u8 = 137;
/// RFC 8200 section 8.2, and the default of most hosts.
const HOP_LIMIT: u8 = 64;

/// Writes the error for `packet`, from `node`, and returns it; `None` if RFC 4443 section 2.4 (e)
/// forbids one. `packet` is a whole IPv6 packet whose addresses are in `inner`.
pub(crate) fn prohibited<'a>(
    packet: &[u8],
    inner: Inner,
    node: Ipv6Addr,
    room: &'a mut [u8; LONGEST],
) -> Option<&'a [u8]> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (inner.source, inner.destination) else {
        return None;
    };
    if !names_one_node(source) || destination.is_multicast() || is_error(packet) {
        return None;
    }
    let quoted = packet.len().min(LONGEST - IPV6_HEADER - ICMP_HEADER);
    let len = IPV6_HEADER + ICMP_HEADER + quoted;
    let error = room.get_mut(..len)?;
    let (header, message) = error.split_at_mut(IPV6_HEADER);
    write_header(header, message.len(), node, source);
    message[..ICMP_HEADER].copy_from_slice(&[UNREACHABLE, PROHIBITED, 0, 0, 0, 0, 0, 0]);
    message[ICMP_HEADER..].copy_from_slice(&packet[..quoted]);
    let checksum = checksum(message, node, source);
    message[field::ICMPV6_CHECKSUM..][..2].copy_from_slice(&checksum.to_be_bytes());
    Some(error)
}

/// RFC 4443 section 2.4 (e.6).
fn names_one_node(source: Ipv6Addr) -> bool {
    !source.is_unspecified() && !source.is_multicast()
}

/// RFC 4443 section 2.4 (e.1) and (e.2): no error is sent about an error or a redirect. A packet
/// of unknown content (a later fragment, a header that is cut short) is taken for one.
fn is_error(packet: &[u8]) -> bool {
    match upper_layer(packet) {
        Some((ICMPV6, message)) => match message.first() {
            Some(&kind) => kind < FIRST_INFORMATIONAL || kind == REDIRECT,
            None => true,
        },
        Some(_) => false,
        None => true,
    }
}

/// Protocol and bytes of the header after the extension headers (RFC 8200 section 4).
fn upper_layer(packet: &[u8]) -> Option<(u8, &[u8])> {
    let mut next = *packet.get(field::IPV6_NEXT_HEADER)?;
    let mut rest = packet.get(IPV6_HEADER..)?;
    while matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
        let header: &[u8; 8] = rest.first_chunk()?;
        let len = match next {
            FRAGMENT if u16::from_be_bytes([header[2], header[3]]) >> 3 != 0 => return None,
            FRAGMENT => 8,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        next = header[0];
        rest = rest.get(len..)?;
    }
    Some((next, rest))
}

fn write_header(header: &mut [u8], payload_len: usize, source: Ipv6Addr, destination: Ipv6Addr) {
    const PAYLOAD_LEN: Range<usize> = field::IPV6_PAYLOAD_LEN..field::IPV6_NEXT_HEADER;
    const NEXT_HEADER: Range<usize> = field::IPV6_NEXT_HEADER..field::IPV6_ADDRESSES;
    const SOURCE: Range<usize> = field::IPV6_ADDRESSES..field::IPV6_DESTINATION;
    // Version, no traffic class and no flow label.
    header[..field::IPV6_PAYLOAD_LEN].copy_from_slice(&[0x60, 0, 0, 0]);
    header[PAYLOAD_LEN].copy_from_slice(&(payload_len as u16).to_be_bytes());
    header[NEXT_HEADER].copy_from_slice(&[ICMPV6, HOP_LIMIT]);
    header[SOURCE].copy_from_slice(&source.octets());
    header[field::IPV6_DESTINATION..IPV6_HEADER].copy_from_slice(&destination.octets());
}

/// RFC 4443 section 2.3, with the pseudo-header of RFC 8200 section 8.1.
fn checksum(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> u16 {
    let words = |bytes: &[u8]| -> u32 {
        let word = |pair: &[u8]| {
            let low = pair.get(1).copied().unwrap_or(0);
            u32::from(u16::from_be_bytes([pair[0], low]))
        };
        bytes.chunks(2).map(word).sum()
    };
    let mut sum = words(&source.octets())
        + words(&destination.octets())
        + message.len() as u32
        + u32::from(ICMPV6)
        + words(message);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::inner::parse;

    const NODE: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    const CLIENT: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    const SERVER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 3);

    fn packet(next: u8, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; IPV6_HEADER];
        write_header(&mut packet, payload.len(), source, destination);
        packet[6] = next;
        packet.extend_from_slice(payload);
        packet
    }

    fn answer(packet: &[u8]) -> Option<Vec<u8>> {
        let mut room = [0xaa; LONGEST];
        prohibited(packet, parse(packet).unwrap(), NODE, &mut room).map(<[u8]>::to_vec)
    }

    #[test]
    fn the_error_quotes_the_packet_and_its_checksum_holds() {
        let sent = packet(17, CLIENT, SERVER, &[1, 2, 3]);
        let error = answer(&sent).unwrap();
        assert_eq!(error[IPV6_HEADER..IPV6_HEADER + 2], [1, 1]);
        assert_eq!(error[IPV6_HEADER + ICMP_HEADER..], sent);
        let inner = parse(&error).unwrap();
        assert_eq!(
            (inner.source, inner.destination),
            (NODE.into(), CLIENT.into())
        );
        // The complement of the sum over the whole message, checksum included, is zero.
        assert_eq!(checksum(&error[IPV6_HEADER..], NODE, CLIENT), 0);
    }

    #[test]
    fn the_error_is_never_longer_than_1280() {
        let error = answer(&packet(17, CLIENT, SERVER, &[7; 1380])).unwrap();
        assert_eq!(error.len(), LONGEST);
        assert_eq!(checksum(&error[IPV6_HEADER..], NODE, CLIENT), 0);
    }

    #[test]
    fn an_error_or_a_redirect_is_not_answered_but_an_echo_is() {
        for kind in [1, 2, 3, 4, 127, REDIRECT] {
            assert!(answer(&packet(ICMPV6, CLIENT, SERVER, &[kind, 0, 0, 0])).is_none());
        }
        assert!(answer(&packet(ICMPV6, CLIENT, SERVER, &[128, 0, 0, 0])).is_some());
    }

    #[test]
    fn an_error_behind_extension_headers_is_not_answered() {
        let hidden = [
            DESTINATION_OPTIONS,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            ICMPV6,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            3,
            0,
        ];
        assert!(answer(&packet(HOP_BY_HOP, CLIENT, SERVER, &hidden)).is_none());
        assert!(answer(&packet(HOP_BY_HOP, CLIENT, SERVER, &hidden[..9])).is_none());
        let later_fragment = [17, 0, 0, 8, 0, 0, 0, 1, 0, 0];
        assert!(answer(&packet(FRAGMENT, CLIENT, SERVER, &later_fragment)).is_none());
    }

    #[test]
    fn multicast_and_the_unspecified_source_are_not_answered() {
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
        assert!(answer(&packet(17, CLIENT, group, &[])).is_none());
        assert!(answer(&packet(17, group, SERVER, &[])).is_none());
        assert!(answer(&packet(17, Ipv6Addr::UNSPECIFIED, SERVER, &[])).is_none());
    }
}
