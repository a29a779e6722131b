//! Frames of the counter protocol: JSON objects. A message of the protocol carries some of them.
//!
//! A frame without fields is an empty variant with braces, because serde accepts unknown
//! fields of a unit variant.
//!
//! The crate `counter` implements the protocol; `crates/counter/PROTOCOL.md` has its rules.
//! Nothing else about a user ever leaves a node.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Ticket;

/// The version of the protocol, which `hello` names. Version 1 had no such field, and each of its
/// messages was one frame.
pub const VERSION: u16 = 2;

/// 16 random bytes, new at each boot of a node.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub [u8; 16]);

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Epoch")
    }
}

impl Serialize for Epoch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Epoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom("an epoch is 16 bytes of base64"))
    }
}

/// One device more or one fewer, written 1 or -1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "i8", try_from = "i8")]
pub enum Delta {
    /// A session asks to be counted.
    Up,
    /// A counted session has ended.
    Down,
}

impl From<Delta> for i8 {
    fn from(delta: Delta) -> Self {
        match delta {
            Delta::Up => 1,
            Delta::Down => -1,
        }
    }
}

impl TryFrom<i8> for Delta {
    type Error = &'static str;

    fn try_from(value: i8) -> Result<Self, Self::Error> {
        match value {
            1 => Ok(Self::Up),
            -1 => Ok(Self::Down),
            _ => Err("a delta is 1 or -1"),
        }
    }
}

/// What a node sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum NodeFrame {
    /// The first frame of a stream.
    Hello {
        /// [`VERSION`].
        version: u16,
        /// This boot of the node.
        epoch: Epoch,
    },
    /// One session began or ended.
    Report {
        /// Number of the report on this stream: 0, 1, 2 and so on.
        n: u64,
        /// The account that the device belongs to. Only the service can open it.
        ticket: Ticket,
        /// The change.
        delta: Delta,
    },
    /// The node has reported every session that it last knew as granted.
    Synced {},
}

/// What the service sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum ServiceFrame {
    /// Answer to `hello`.
    Welcome {
        /// The service's clock, in seconds since 1970.
        time: u64,
    },
    /// Answer to a report of +1, in the order of the reports.
    Verdict {
        /// The report's number.
        n: u64,
        /// Whether the service counts the device.
        granted: bool,
    },
    /// The operator wants the node empty. The node enrols and renews no device until the service
    /// sends the opposite, or welcomes it on another stream without this frame before.
    Drain {
        /// `true` starts this, `false` ends it.
        on: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TICKET_LEN;

    #[test]
    fn a_report_says_its_number_ticket_and_delta_and_nothing_else() {
        let frame = NodeFrame::Report {
            n: 7,
            ticket: Ticket([0; TICKET_LEN]),
            delta: Delta::Down,
        };
        let json = serde_json::to_value(frame).unwrap();
        let mut names: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        names.sort();
        assert_eq!(names, ["delta", "n", "ticket", "type"]);
        assert_eq!(json["delta"], -1);
    }

    #[test]
    fn a_delta_other_than_one_is_refused() {
        for delta in [0, 2, -2] {
            assert!(serde_json::from_value::<Delta>(delta.into()).is_err());
        }
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(serde_json::from_str::<ServiceFrame>(r#"{"type":"drain","on":true}"#).is_ok());
        let more = r#"{"type":"drain","on":true,"peer":1}"#;
        assert!(serde_json::from_str::<ServiceFrame>(more).is_err());
    }
}
