//! Tokens: signed with Ed25519, verified by nodes offline.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mayfly_wire::token::Claims;
use rcgen::{KeyPair, PKCS_ED25519};
use zeroize::Zeroizing;

use crate::clock::{HOUR, ceil_hour, floor_hour};
use crate::files;
use crate::record::Moment;
use crate::refusal::Refusal;
use crate::tickets;

/// A token lasts at least this long, in seconds, unless the subscription ends before
/// (design, "Token").
const SHORTEST: u64 = 24 * HOUR;

/// The key that signs tokens.
pub struct Signer {
    key: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    /// Reads the key in PEM (PKCS #8, RFC 5958); makes it if there is none.
    ///
    /// # Errors
    /// The system's, or `InvalidData` for a file that holds no Ed25519 key.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            make(path)?;
        }
        let invalid = || {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "expected an Ed25519 key in PEM (PKCS #8)",
            )
        };
        let pem = files::read_private(path)?;
        let pem = std::str::from_utf8(&pem).map_err(|_| invalid())?;
        let pair =
            KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519).map_err(|_| invalid())?;
        let der = Zeroizing::new(pair.serialize_der());
        Ok(Self {
            key: EncodingKey::from_ed_der(&der),
            public: pair.public_key_raw().to_vec(),
        })
    }

    /// The public key, as a node's settings pin it: 32 bytes in base64.
    pub fn public_base64(&self) -> String {
        STANDARD.encode(&self.public)
    }

    /// Signs a token, in JWS compact form.
    ///
    /// # Errors
    /// [`Refusal::Internal`].
    pub fn sign(&self, claims: &Claims) -> Result<String, Refusal> {
        encode(&Header::new(Algorithm::EdDSA), claims, &self.key).map_err(|_| Refusal::Internal)
    }
}

fn make(path: &Path) -> io::Result<()> {
    let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(io::Error::other)?;
    match files::create_private(path, Zeroizing::new(pair.serialize_pem()).as_bytes()) {
        // Another process was faster; its key is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// The end of a token: a whole hour drawn 24 to 36 h ahead, never past the subscription.
/// `None`: the subscription ends before the next whole hour.
pub fn expiry(now: u64, subscription: Moment, draw: u64) -> Option<u64> {
    let first = ceil_hour(now + SHORTEST);
    let last = floor_hour(now + tickets::LONGEST);
    let hours = (last - first) / HOUR + 1;
    let drawn = first + draw % hours * HOUR;
    let end = drawn.min(floor_hour(subscription.0));
    (end > now).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::DAY;

    const NOW: u64 = 20_000 * DAY + 1234;

    #[test]
    fn a_token_ends_at_a_whole_hour_24_to_36_hours_ahead() {
        let ends: std::collections::BTreeSet<_> = (0..1000)
            .map(|draw| expiry(NOW, Moment(u64::MAX), draw).unwrap())
            .collect();
        assert_eq!(ends.len(), 12);
        for end in ends {
            assert_eq!(end % HOUR, 0);
            assert!((NOW + 24 * HOUR..=NOW + 36 * HOUR).contains(&end));
        }
    }

    #[test]
    fn a_token_never_outlives_the_subscription() {
        let end = Moment(20_000 * DAY + HOUR);
        assert_eq!(expiry(NOW, end, 5), Some(end.0));
        assert_eq!(expiry(end.0, end, 5), None);
        assert_eq!(expiry(NOW, Moment(end.0 - 1), 5), None);
    }

    #[test]
    fn the_key_is_made_once() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("token.key");
        let [one, two] = [0, 1].map(|_| Signer::open(&path).unwrap().public_base64());
        assert_eq!(one, two);
        assert_eq!(STANDARD.decode(one).unwrap().len(), 32);
    }
}
