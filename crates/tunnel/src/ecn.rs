//! Congestion marks, copied between the inner and the outer header (RFC 6040).
//!
//! On the way in, a mark that a router put on a datagram is copied to the packet inside, or the
//! packet is dropped if its transport does not understand marks. On the way out, a packet's field
//! is copied only if its peer has shown that it does the same (section 4.3; other peers get
//! "compatibility mode"): many clients ignore the outer field, and would lose the mark where they
//! should have lost a packet. Nothing else of the service class crosses, in either direction.

use crate::ip::field;

/// The ECN field of an IP header (RFC 3168 section 5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ecn {
    /// The transport does not understand marks.
    #[default]
    NotEct = 0,
    /// ECT(1).
    Ect1 = 1,
    /// ECT(0).
    Ect0 = 2,
    /// Congestion experienced: marked.
    Ce = 3,
}

impl Ecn {
    /// The field from the lower two bits of a service class.
    pub fn from_bits(service: u8) -> Self {
        match service & 3 {
            0 => Self::NotEct,
            1 => Self::Ect1,
            2 => Self::Ect0,
            _ => Self::Ce,
        }
    }

    /// The two bits.
    pub fn bits(self) -> u8 {
        self as u8
    }

    /// The field of an IP packet.
    pub(crate) fn of(packet: &[u8]) -> Self {
        match packet {
            [first, second, ..] if first >> 4 == 4 => Self::from_bits(*second),
            [_, second, ..] => Self::from_bits(second >> 4),
            _ => Self::NotEct,
        }
    }

    /// The field of this packet after it came in a datagram with the field `outer`; `None` if the
    /// packet must be dropped (RFC 6040 section 4.2, figure 4).
    pub(crate) fn decapsulated(self, outer: Self) -> Option<Self> {
        match (self, outer) {
            (Self::NotEct, Self::Ce) => None,
            (Self::NotEct, _) => Some(Self::NotEct),
            (Self::Ect0, Self::Ect1) => Some(Self::Ect1),
            (_, Self::Ce) => Some(Self::Ce),
            (inner, _) => Some(inner),
        }
    }

    /// Writes the field of a whole IP packet. An incorrect header checksum stays incorrect.
    pub(crate) fn write(self, packet: &mut [u8]) {
        match packet {
            [first, service, rest @ ..] if *first >> 4 == 4 => {
                let before = u16::from_be_bytes([*first, *service]);
                *service = *service & !3 | self.bits();
                let after = u16::from_be_bytes([*first, *service]);
                if let Some(checksum) = rest
                    .get_mut(field::IPV4_CHECKSUM - 2..)
                    .and_then(<[u8]>::first_chunk_mut)
                {
                    *checksum = updated(u16::from_be_bytes(*checksum), before, after).to_be_bytes();
                }
            }
            [_, second, ..] => *second = *second & !0x30 | self.bits() << 4,
            _ => {}
        }
    }
}

/// The checksum after one of the words that it covers has changed (RFC 1624 section 3,
/// equation 3).
fn updated(checksum: u16, before: u16, after: u16) -> u16 {
    let mut sum = u32::from(!checksum) + u32::from(!before) + u32::from(after);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Ecn; 4] = [Ecn::NotEct, Ecn::Ect1, Ecn::Ect0, Ecn::Ce];

    #[test]
    fn marks_go_on_as_in_the_table_of_the_rfc() {
        use Ecn::{Ce, Ect0, Ect1, NotEct};
        // RFC 6040 figure 4, with a column for each outer field.
        let table = [
            (NotEct, [Some(NotEct), Some(NotEct), Some(NotEct), None]),
            (Ect1, [Some(Ect1), Some(Ect1), Some(Ect1), Some(Ce)]),
            (Ect0, [Some(Ect0), Some(Ect1), Some(Ect0), Some(Ce)]),
            (Ce, [Some(Ce), Some(Ce), Some(Ce), Some(Ce)]),
        ];
        for (inner, row) in table {
            assert_eq!(ALL.map(|outer| inner.decapsulated(outer)), row, "{inner:?}");
        }
    }

    #[test]
    fn two_bits_change_and_the_checksum_is_as_right_as_before() {
        let sum = |header: &[u8]| {
            let words = header.as_chunks::<2>().0.iter();
            let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
            (sum & 0xffff) + (sum >> 16)
        };
        for service in 0..=255 {
            let mut packet = [0x45, service, 0, 20, 9, 9, 0x40, 0, 64, 6, 0, 0];
            let checksum = !(sum(&packet) as u16);
            for error in [0, 1, 0x1234] {
                packet[10..].copy_from_slice(&(checksum ^ error).to_be_bytes());
                let before = sum(&packet) % 0xffff;
                for ecn in ALL {
                    let mut marked = packet;
                    ecn.write(&mut marked);
                    assert_eq!(marked[1], service & !3 | ecn.bits());
                    assert_eq!((marked[0], &marked[2..10]), (packet[0], &packet[2..10]));
                    assert_eq!(sum(&marked) % 0xffff, before, "{service} {ecn:?}");
                }
            }
        }
    }

    #[test]
    fn the_field_of_ipv6_is_in_the_middle_of_its_traffic_class() {
        let mut packet = [0x6f, 0xff, 0xff, 0xff];
        for ecn in ALL {
            ecn.write(&mut packet);
            assert_eq!(packet, [0x6f, 0xcf | ecn.bits() << 4, 0xff, 0xff]);
            assert_eq!(Ecn::of(&packet), ecn);
        }
    }
}
