//! Messages: what carries frames, and looks the same whatever it carries (rule 8 of
//! `crates/counter/PROTOCOL.md`).
//!
//! A message is one WebSocket text message: a JSON array of frames, and spaces up to one length. A
//! message without a frame says that its end is alive.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::constants::{MESSAGE_FRAMES, MESSAGE_LEN};

/// A message with these frames, at most [`MESSAGE_FRAMES`] of them.
pub fn encode<F: Serialize>(frames: &[F]) -> String {
    // Frames always have a JSON form. The other end would refuse an empty one.
    let json = serde_json::to_string(frames).unwrap_or_default();
    format!("{json:<MESSAGE_LEN$}")
}

/// The frames of a message. `None` if it is not [`MESSAGE_LEN`] bytes of frames.
pub fn decode<F: DeserializeOwned>(message: &str) -> Option<Vec<F>> {
    if message.len() != MESSAGE_LEN {
        return None;
    }
    let frames: Vec<F> = serde_json::from_str(message).ok()?;
    (frames.len() <= MESSAGE_FRAMES).then_some(frames)
}

#[cfg(test)]
mod tests {
    use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
    use mayfly_wire::{TICKET_LEN, Ticket};

    use super::*;

    const DRAIN: ServiceFrame = ServiceFrame::Drain { on: true };

    #[test]
    fn every_message_has_one_length() {
        let longest = NodeFrame::Report {
            n: u64::MAX,
            ticket: Ticket([0xff; TICKET_LEN]),
            delta: Delta::Down,
        };
        for count in 0..=MESSAGE_FRAMES {
            let message = encode(&vec![longest; count]);
            assert_eq!(message.len(), MESSAGE_LEN, "{count} frames");
            assert_eq!(decode(&message), Some(vec![longest; count]));
        }
        let granted = false;
        let verdict = ServiceFrame::Verdict {
            n: u64::MAX,
            granted,
        };
        for frame in [verdict, ServiceFrame::Welcome { time: u64::MAX }, DRAIN] {
            assert_eq!(encode(&[frame; MESSAGE_FRAMES]).len(), MESSAGE_LEN);
        }
    }

    #[test]
    fn a_message_of_another_length_or_with_too_many_frames_is_refused() {
        let message = encode(&[DRAIN]);
        assert!(decode::<ServiceFrame>(message.trim_end()).is_none());
        assert!(decode::<ServiceFrame>(&format!("{message} ")).is_none());
        let many = encode(&[DRAIN; MESSAGE_FRAMES + 1]);
        assert_eq!(many.len(), MESSAGE_LEN);
        assert!(decode::<ServiceFrame>(&many).is_none());
    }
}
