//! The outside of a datagram: which WireGuard message it claims to be.

use crate::Refusal;
use crate::spec::{
    COOKIE_REPLY, COOKIE_REPLY_LEN, INITIATION, INITIATION_LEN, RESPONSE, RESPONSE_LEN, TRANSPORT,
    TRANSPORT_OVERHEAD,
};

/// The longest possible UDP payload (over IPv6, without a jumbogram), in bytes.
const LONGEST: usize = 65_527;

/// What a datagram claims to be. Nothing in it is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    Initiation,
    Transport { receiver: u32, counter: u64 },
}

/// Classifies a datagram by type and exact length (paper, section 5.4), before anything else is
/// done for it.
///
/// # Errors
/// [`NotAsked`](Refusal::NotAsked) for the two messages that only an initiator gets,
/// [`NotWireGuard`](Refusal::NotWireGuard) for anything else that is no initiation or transport
/// message.
pub(crate) fn classify(datagram: &[u8]) -> Result<Message, Refusal> {
    let (&kind, rest) = datagram.split_first_chunk().ok_or(Refusal::NotWireGuard)?;
    match (u32::from_le_bytes(kind), datagram.len()) {
        (INITIATION, INITIATION_LEN) => Ok(Message::Initiation),
        (RESPONSE, RESPONSE_LEN) | (COOKIE_REPLY, COOKIE_REPLY_LEN) => Err(Refusal::NotAsked),
        (TRANSPORT, TRANSPORT_OVERHEAD..=LONGEST) => transport(rest).ok_or(Refusal::NotWireGuard),
        _ => Err(Refusal::NotWireGuard),
    }
}

fn transport(after_type: &[u8]) -> Option<Message> {
    let (&receiver, rest) = after_type.split_first_chunk()?;
    let (&counter, _) = rest.split_first_chunk()?;
    Some(Message::Transport {
        receiver: u32::from_le_bytes(receiver),
        counter: u64::from_le_bytes(counter),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_initiations_and_transport_messages_of_the_right_length_go_on() {
        for kind in 0..=5_u8 {
            for len in 0..=200 {
                let mut datagram = vec![0xaa; len];
                datagram
                    .iter_mut()
                    .zip([kind, 0, 0, 0])
                    .for_each(|(byte, want)| *byte = want);
                let want = match (kind, len) {
                    (1, 148) | (4, 32..) => None,
                    (2, 92) | (3, 64) => Some(Refusal::NotAsked),
                    _ => Some(Refusal::NotWireGuard),
                };
                assert_eq!(classify(&datagram).err(), want, "type {kind}, {len} bytes");
            }
        }
    }

    #[test]
    fn a_reserved_byte_that_is_not_zero_makes_another_type() {
        for at in 1..4 {
            let mut datagram = [0; 148];
            (datagram[0], datagram[at]) = (1, 1);
            assert_eq!(classify(&datagram), Err(Refusal::NotWireGuard));
        }
    }
}
