//! The Internet checksum (RFC 1071).

use crate::ip::{IPV4_HEADER, IPV6_HEADER, field};

/// A sum that is not folded yet. It is in the machine's byte order, which makes no difference to
/// the checksum (RFC 1071 section 2 (B)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds bytes that begin at an even offset.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        let mut sum: u64 = words
            .iter()
            .map(|word| u64::from(u32::from_ne_bytes(*word)))
            .sum();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        sum += u64::from(u32::from_ne_bytes(last));
        Self(self.0 + sum)
    }

    /// Adds a number.
    pub(super) fn number(self, number: u16) -> Self {
        Self(self.0 + u64::from(number.to_be()))
    }

    /// The sum in 16 bits, as it is left in a header for the kernel or the card to finish.
    pub(super) fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::from_be(sum as u16)
    }

    /// The checksum.
    pub(super) fn finish(self) -> u16 {
        !self.fold()
    }

    /// Whether a sum over all bytes, the checksum included, says that they are undamaged.
    pub(super) fn holds(self) -> bool {
        self.fold() == 0xffff
    }
}

/// The sum of a pseudo-header without its length (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub(super) fn pseudo_header(ip: &[u8], protocol: u8) -> Option<Sum> {
    let addresses = match ip.first()? >> 4 {
        4 => ip.get(field::IPV4_ADDRESSES..IPV4_HEADER)?,
        _ => ip.get(field::IPV6_ADDRESSES..IPV6_HEADER)?,
    };
    Some(Sum::default().bytes(addresses).number(protocol.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        // RFC 1071 section 3: the sum is ddf2.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().bytes(&bytes).fold(), 0xddf2);
        assert_eq!(Sum::default().bytes(&bytes).finish(), !0xddf2);
    }

    #[test]
    fn an_odd_byte_counts_as_if_a_zero_followed() {
        let sum = |bytes: &[u8]| Sum::default().bytes(bytes).fold();
        for len in 1..9 {
            let mut odd = vec![0xab; len];
            let alone = sum(&odd);
            odd.push(0);
            assert_eq!(alone, sum(&odd));
        }
    }

    #[test]
    fn sixty_thousand_bytes_of_ones_do_not_overflow() {
        assert_eq!(Sum::default().bytes(&[0xff; 65_534]).fold(), 0xffff);
    }
}
