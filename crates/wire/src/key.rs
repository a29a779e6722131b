//! WireGuard keys: 32 bytes, written in base64 as `wg` writes them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Why a text is not a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// Not base64 with padding (RFC 4648 section 4).
    NotBase64,
    /// Base64 of something that is not 32 bytes long.
    WrongLength,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBase64 => "a key is 44 characters of base64",
            Self::WrongLength => "a key is 32 bytes long",
        })
    }
}

impl std::error::Error for KeyError {}

fn decode(text: &str) -> Result<[u8; 32], KeyError> {
    let mut bytes = STANDARD.decode(text).map_err(|_| KeyError::NotBase64)?;
    let key = bytes.as_slice().try_into();
    bytes.zeroize();
    key.map_err(|_| KeyError::WrongLength)
}

/// A peer's static public key (X25519).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey")
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }
}

impl PublicKey {
    /// The key as `wg` writes it.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A pre-shared key. The node makes one for each enrolment.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey(pub [u8; 32]);

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey")
    }
}

impl FromStr for PresharedKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }
}

impl PresharedKey {
    /// The key as `wg` writes it. The caller must zero the text.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }
}

impl Serialize for PresharedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = self.to_base64();
        let done = serializer.serialize_str(&text);
        text.zeroize();
        done
    }
}

impl<'de> Deserialize<'de> for PresharedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let key = text.parse();
        text.zeroize();
        key.map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_another_length_is_refused() {
        let short = STANDARD.encode([7; 31]);
        assert_eq!(short.parse::<PublicKey>(), Err(KeyError::WrongLength));
        assert_eq!("?".parse::<PublicKey>(), Err(KeyError::NotBase64));
    }

    #[test]
    fn a_key_survives_the_wire() {
        let key = PublicKey([9; 32]);
        let json = serde_json::to_string(&key).unwrap();
        assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), key);
    }

    #[test]
    fn no_key_prints_itself() {
        assert_eq!(format!("{:?}", PublicKey([1; 32])), "PublicKey");
        assert_eq!(format!("{:?}", PresharedKey([1; 32])), "PresharedKey");
    }
}
