//! The ticket: stands for an account where the account must stay unknown.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Length of a ticket in bytes: key number (4), nonce (12), account id (16) and expiry (8)
/// encrypted with an AEAD, tag (16). It never varies, so that a length says nothing.
pub const TICKET_LEN: usize = 4 + 12 + 16 + 8 + 16;

/// An account's id and an expiry, sealed by the account service, which alone can
/// open it. To all others, two tickets of one account look unrelated. On the wire it is
/// base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket(pub [u8; TICKET_LEN]);

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| de::Error::custom("a ticket is base64url without padding"))?;
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| de::Error::custom("a ticket has one length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_has_one_length() {
        let json = serde_json::to_string(&Ticket([3; TICKET_LEN])).unwrap();
        assert_eq!(
            serde_json::from_str::<Ticket>(&json).unwrap(),
            Ticket([3; TICKET_LEN])
        );
        assert!(serde_json::from_str::<Ticket>(&json.replacen("AwMD", "", 1)).is_err());
    }
}
