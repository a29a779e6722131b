//! The header of an inner packet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::ip::{IPV4_HEADER, IPV6_HEADER, field};

/// The addresses of an inner packet, as its header claims them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inner {
    pub source: IpAddr,
    pub destination: IpAddr,
}

/// Reads the header of a packet. `None` unless the bytes are one whole IPv4 or IPv6 packet and
/// nothing more: boringtun removes the padding by the packet's own length field, and accepts
/// lengths that are shorter than the header.
#[inline]
pub(crate) fn parse(packet: &[u8]) -> Option<Inner> {
    match packet.first()? >> 4 {
        4 => parse_ipv4(packet),
        6 => parse_ipv6(packet),
        _ => None,
    }
}

fn parse_ipv4(packet: &[u8]) -> Option<Inner> {
    let header: &[u8; IPV4_HEADER] = packet.first_chunk()?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = number(header, field::IPV4_TOTAL_LEN)?;
    if header_len < IPV4_HEADER || header_len > total_len || total_len != packet.len() {
        return None;
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    Some(Inner {
        source: Ipv4Addr::new(s0, s1, s2, s3).into(),
        destination: Ipv4Addr::new(d0, d1, d2, d3).into(),
    })
}

fn parse_ipv6(packet: &[u8]) -> Option<Inner> {
    let header: &[u8; IPV6_HEADER] = packet.first_chunk()?;
    let payload_len = number(header, field::IPV6_PAYLOAD_LEN)?;
    if IPV6_HEADER + payload_len != packet.len() {
        return None;
    }
    let (_, addresses) = header.split_first_chunk::<{ field::IPV6_ADDRESSES }>()?;
    let (source, rest) = addresses.split_first_chunk::<16>()?;
    let destination = rest.first_chunk::<16>()?;
    Some(Inner {
        source: Ipv6Addr::from(*source).into(),
        destination: Ipv6Addr::from(*destination).into(),
    })
}

/// The 16 bits at a place of a header.
fn number(header: &[u8], at: usize) -> Option<usize> {
    let bytes = header.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4(len: usize) -> Vec<u8> {
        let mut packet = vec![0; len];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
        packet[12..16].copy_from_slice(&[10, 64, 0, 2]);
        packet[16..20].copy_from_slice(&[192, 0, 2, 1]);
        packet
    }

    #[test]
    fn a_whole_ipv4_packet_tells_its_ends() {
        let inner = parse(&ipv4(28)).unwrap();
        assert_eq!(inner.source, IpAddr::from([10, 64, 0, 2]));
        assert_eq!(inner.destination, IpAddr::from([192, 0, 2, 1]));
    }

    #[test]
    fn a_header_longer_than_its_packet_is_refused() {
        let mut packet = ipv4(24);
        packet[0] = 0x46;
        assert!(parse(&packet).is_some());
        packet[0] = 0x47;
        assert!(parse(&packet).is_none());
        packet[0] = 0x44;
        assert!(parse(&packet).is_none());
    }

    #[test]
    fn a_length_that_is_not_the_packets_is_refused() {
        let mut packet = ipv4(28);
        packet[3] = 27;
        assert!(parse(&packet).is_none());
        let mut packet = vec![0; 48];
        packet[0] = 0x60;
        packet[5] = 8;
        assert!(parse(&packet).is_some());
        packet[5] = 9;
        assert!(parse(&packet).is_none());
    }
}
