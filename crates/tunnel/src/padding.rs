//! Padding, so that lengths on the wire say less (paper, section 5.4.6). boringtun does none;
//! the far end cuts it off by the inner packet's own length.

use crate::spec::PADDING;

pub(crate) struct Padder {
    /// As long as the MTU: a packet that is longer needs no padding.
    scratch: Box<[u8]>,
}

impl Padder {
    pub fn new(mtu: u16) -> Self {
        Self {
            scratch: vec![0; usize::from(mtu)].into_boxed_slice(),
        }
    }

    /// Calls `seal` with the packet and zeros behind it, up to a multiple of 16 bytes but not
    /// beyond the MTU. A packet that needs none, as the longest do, is not copied.
    pub fn padded<R>(&mut self, packet: &[u8], seal: impl FnOnce(&[u8]) -> R) -> R {
        let len = packet
            .len()
            .next_multiple_of(PADDING)
            .min(self.scratch.len());
        let Some(padded) = self.scratch.get_mut(..len).filter(|_| len > packet.len()) else {
            return seal(packet);
        };
        padded[..packet.len()].copy_from_slice(packet);
        let result = seal(padded);
        padded[..packet.len()].fill(0);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_grow_to_sixteen_but_never_beyond_the_mtu() {
        let mut padder = Padder::new(1420);
        let mut padded = |len: usize| padder.padded(&vec![1; len], <[u8]>::len);
        assert_eq!(
            [0, 1, 16, 17, 1400, 1408].map(&mut padded),
            [0, 16, 16, 32, 1408, 1408]
        );
        assert_eq!(
            [1409, 1420, 1421, 9000].map(&mut padded),
            [1420, 1420, 1421, 9000]
        );
    }

    #[test]
    fn the_padding_is_zeros_after_a_longer_packet_too() {
        let mut padder = Padder::new(1420);
        padder.padded(&[0xff; 1000], |_| ());
        padder.padded(&[0xff; 3], |padded| assert_eq!(padded[3..], [0; 13]));
    }
}
