//! Packets that are nearly right: a few flows, with lengths and numbers that fit together or miss
//! by a little. Some bytes may be changed afterwards.

use arbitrary::Arbitrary;

use crate::world::{FAR_IPV4, FAR_IPV6};
use mayfly_kit::wireguard::{ipv4, ipv6};

/// Longest payload, in bytes. With all headers and options it is still within the tunnel's MTU.
const LONGEST: u16 = 1300;
const IPV4: usize = 20;
const IPV6: usize = 40;
const TCP: u8 = 6;
const UDP: u8 = 17;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// How to make an inner packet from one peer to the other.
#[derive(Debug, Clone, Arbitrary)]
pub struct Shape {
    inner: Inner,
    /// One of a few, so that packets meet.
    flow: u8,
    len: u16,
    fill: u8,
    /// The packet's place in its flow, in multiples of its own length.
    place: u8,
    /// How far it is off that place, in 64ths of a byte.
    off: i8,
    flags: u8,
    /// Traffic class, TTL.
    class: u8,
    ttl: u8,
    options: u8,
    spoilt: Option<Spoilt>,
}

/// Changes to a packet after its checksums are made.
#[derive(Debug, Clone, Arbitrary)]
struct Spoilt {
    /// Bytes to change: the offset, and the bits to flip.
    changes: Vec<(u16, u8)>,
    /// By how many bytes to move the end.
    end: i8,
}

/// Packets of a flow, each of which continues the one before it. One may be odd.
#[derive(Debug, Arbitrary)]
pub struct Run {
    first: Shape,
    count: u8,
    odd: Option<Odd>,
}

/// How one packet differs from its neighbours. Its checksums are right.
#[derive(Debug, Arbitrary)]
struct Odd {
    which: u8,
    class: u8,
    ttl: u8,
    flags: u8,
    options: u8,
    off: i8,
    len: i8,
}

impl Run {
    /// The packets.
    pub fn packets(&self) -> impl Iterator<Item = Vec<u8>> {
        (0..=self.count % 12).map(|number| self.shape(number).packet())
    }

    fn shape(&self, number: u8) -> Shape {
        let mut shape = self.first.clone();
        shape.place = shape.place.wrapping_add(number);
        if let Some(odd) = &self.odd
            && odd.which % 12 == number
        {
            shape.class ^= odd.class;
            shape.ttl ^= odd.ttl;
            shape.flags ^= odd.flags;
            shape.options ^= odd.options;
            shape.off ^= odd.off;
            shape.len = shape.len.wrapping_add_signed(odd.len.into());
        }
        shape
    }
}

/// The protocols of a packet.
#[derive(Debug, Arbitrary, Clone, Copy, PartialEq, Eq)]
enum Inner {
    /// IPv4 and TCP.
    Tcp4,
    /// IPv6 and TCP.
    Tcp6,
    /// IPv4 and UDP.
    Udp4,
    /// IPv6 and UDP.
    Udp6,
}

impl Shape {
    /// The packet. Its addresses are right, whatever else was changed.
    pub fn packet(&self) -> Vec<u8> {
        let mut packet = self.whole();
        if let Some(spoilt) = &self.spoilt {
            for (at, by) in spoilt.changes.iter().take(8) {
                let at = usize::from(*at) % packet.len();
                packet[at] ^= by;
            }
            let end = packet.len().saturating_add_signed(spoilt.end.into());
            packet.resize(end.max(1), 0);
            self.address(&mut packet);
        }
        packet
    }

    /// Length of its IP header without options, in bytes.
    fn network(&self) -> usize {
        if self.is_ipv4() { IPV4 } else { IPV6 }
    }

    fn is_ipv4(&self) -> bool {
        matches!(self.inner, Inner::Tcp4 | Inner::Udp4)
    }

    fn is_tcp(&self) -> bool {
        matches!(self.inner, Inner::Tcp4 | Inner::Tcp6)
    }

    fn whole(&self) -> Vec<u8> {
        let protocol = if self.is_tcp() { TCP } else { UDP };
        let transport = if self.is_tcp() {
            self.tcp()
        } else {
            self.udp()
        };
        let mut packet = if self.is_ipv4() {
            let mut header = vec![0x45, self.class, 0, 0, 0, self.place, 0x40, 0, self.ttl];
            header.extend([protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            let len = (IPV4 + transport.len()) as u16;
            header[2..4].copy_from_slice(&len.to_be_bytes());
            header
        } else {
            let [h, l] = (transport.len() as u16).to_be_bytes();
            let class = [0x60 | self.class >> 4, self.class << 4];
            let mut header = vec![class[0], class[1], 0, 0, h, l, protocol, self.ttl];
            header.resize(IPV6, 0);
            header
        };
        self.address(&mut packet);
        if self.is_ipv4() {
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let addresses = packet[if self.is_ipv4() { 12 } else { 8 }..].to_vec();
        let at = self.network() + if self.is_tcp() { 16 } else { 6 };
        let len = (transport.len() as u32).to_be_bytes();
        packet.extend(transport);
        let sum = checksum(&[&addresses, &len, &[0, protocol], &packet[self.network()..]]);
        packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn tcp(&self) -> Vec<u8> {
        let words = usize::from(self.options % 4);
        let place = u32::from(self.place) * u32::from(self.payload().len() as u16);
        let sequence = place.wrapping_add_signed((self.off / 64).into());
        let mut segment = self.ports();
        segment.extend(sequence.to_be_bytes());
        let flags = match self.flags % 4 {
            0 | 1 => ACK,
            2 => ACK | PSH,
            _ => self.flags / 4,
        };
        segment.extend([
            0,
            0,
            0,
            1,
            ((5 + words) as u8) << 4,
            flags,
            1,
            0,
            0,
            0,
            0,
            0,
        ]);
        segment.extend(std::iter::repeat_n(1, 4 * words));
        segment.extend(self.payload());
        segment
    }

    fn udp(&self) -> Vec<u8> {
        let mut datagram = self.ports();
        datagram.extend((8 + self.payload().len() as u16).to_be_bytes());
        datagram.extend([0, 0]);
        datagram.extend(self.payload());
        datagram
    }

    fn ports(&self) -> Vec<u8> {
        vec![0xc0, self.flow % 3, 0, 80]
    }

    fn payload(&self) -> Vec<u8> {
        vec![self.fill; usize::from(self.len % LONGEST)]
    }

    fn address(&self, packet: &mut [u8]) {
        let (at, addresses) = if self.is_ipv4() {
            (12, [ipv4(2).octets(), FAR_IPV4.octets()].concat())
        } else {
            (8, [ipv6(2).octets(), FAR_IPV6.octets()].concat())
        };
        for (byte, right) in packet.iter_mut().skip(at).zip(addresses) {
            *byte = right;
        }
    }
}

/// The checksum of RFC 1071, slow and simple. All parts but the last must have an even length.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u32;
    for part in parts {
        for word in part.chunks(2) {
            let low = word.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([word[0], low]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
