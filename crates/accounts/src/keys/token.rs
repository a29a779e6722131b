//! Tokens: signed with Ed25519, verified by nodes offline.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mayfly_wire::token::Claims;
use rcgen::{KeyPair, PKCS_ED25519};
use zeroize::Zeroizing;

use crate::core::clock::{HOUR, ceil_hour, floor_hour};
use crate::core::files;
use crate::core::record::{Account, Moment};
use crate::keys::tickets;

/// The shortest life of a token, in seconds, unless the subscription ends earlier.
const SHORTEST: u64 = 24 * HOUR;

/// The keys that sign tokens: the one in use and, during a change of keys, the next one.
///
/// ```text
/// keys new   makes the next key; nodes get both keys, and accept tokens under either
/// keys use   the next key becomes the one in use, from the next whole hour on
///            36 h later no token under the former key is left: nodes get one key again
/// ```
pub struct Signer {
    path: PathBuf,
    pair: RwLock<Pair>,
}

struct Pair {
    key: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    /// Reads the key in PEM (PKCS #8, RFC 5958), or makes it if there is none.
    ///
    /// # Errors
    /// `InvalidData` if the file does not hold an Ed25519 key, or the file cannot be read or made.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !path.exists() {
            make(path)?;
        }
        let pair = RwLock::new(read(path)?);
        let path = path.to_owned();
        Ok(Self { path, pair })
    }

    /// Loads the key that is in use now.
    ///
    /// # Errors
    /// As for [`Signer::open`]. Then the key stays as it was.
    pub(crate) fn turn(&self) -> io::Result<()> {
        let pair = read(&self.path)?;
        *self.pair.write().unwrap_or_else(PoisonError::into_inner) = pair;
        Ok(())
    }

    /// Signs a token, in JWS compact form.
    ///
    /// # Errors
    /// The claims cannot be serialized, or the key cannot sign.
    pub fn sign(&self, claims: &Claims) -> Result<String, jsonwebtoken::errors::Error> {
        let pair = self.pair.read().unwrap_or_else(PoisonError::into_inner);
        encode(&Header::new(Algorithm::EdDSA), claims, &pair.key)
    }
}

/// The public keys that nodes pin, each 32 bytes in base64: the one in use, then the next one if
/// there is one.
///
/// # Errors
/// As for [`Signer::open`].
pub(crate) fn public_keys(path: &Path) -> io::Result<Vec<String>> {
    let mut keys = vec![read(path)?.public_base64()];
    let next = next(path);
    if next.exists() {
        keys.push(read(&next)?.public_base64());
    }
    Ok(keys)
}

/// Makes the next key. Returns its public half.
///
/// # Errors
/// `AlreadyExists` if there is a next key already, or the file cannot be made.
pub(crate) fn make_next(path: &Path) -> io::Result<String> {
    let next = next(path);
    let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(io::Error::other)?;
    files::create_private(&next, Zeroizing::new(pair.serialize_pem()).as_bytes())?;
    Ok(read(&next)?.public_base64())
}

/// Makes the next key the one in use, and destroys the former. Returns the public half.
///
/// # Errors
/// `NotFound` if there is no next key, or a file cannot be read or replaced.
pub(crate) fn use_next(path: &Path) -> io::Result<String> {
    let public = read(&next(path))?.public_base64();
    files::replace(&next(path), path)?;
    Ok(public)
}

fn next(path: &Path) -> PathBuf {
    path.with_extension("next.key")
}

impl Pair {
    fn public_base64(&self) -> String {
        STANDARD.encode(&self.public)
    }
}

fn read(path: &Path) -> io::Result<Pair> {
    let invalid = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "expected an Ed25519 key in PEM (PKCS #8)",
        )
    };
    let pem = files::read_private(path)?;
    let pem = std::str::from_utf8(&pem).map_err(|_| invalid())?;
    let pair = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ED25519).map_err(|_| invalid())?;
    let der = Zeroizing::new(pair.serialize_der());
    Ok(Pair {
        key: EncodingKey::from_ed_der(&der),
        public: pair.public_key_raw().to_vec(),
    })
}

fn make(path: &Path) -> io::Result<()> {
    let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(io::Error::other)?;
    match files::create_private(path, Zeroizing::new(pair.serialize_pem()).as_bytes()) {
        // Another process was faster, and its key is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// The end of a token: a whole hour, drawn 24 to 36 h ahead. It is never after the end of the
/// subscription, or of an add-on that the token carries. `None`: the subscription ends before the
/// next whole hour.
pub(crate) fn expiry(now: u64, account: &Account, draw: u64) -> Option<u64> {
    let first = ceil_hour(now + SHORTEST);
    let last = floor_hour(now + tickets::LONGEST);
    let hours = (last - first) / HOUR + 1;
    let drawn = first + draw % hours * HOUR;
    let subscription = floor_hour(account.subscription?.0);
    let add_ons = [account.ipv4, account.multihop]
        .into_iter()
        .flatten()
        .map(|end| floor_hour(end.0))
        .filter(|&end| end > now);
    let end = add_ons.fold(drawn.min(subscription), u64::min);
    (end > now).then_some(end)
}

/// Whether a token that ends at `exp` carries an add-on that ends at `add_on`.
pub(crate) fn carries(add_on: Option<Moment>, exp: u64) -> bool {
    add_on.is_some_and(|end| end.0 >= exp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::DAY;
    use crate::core::record::PasswordHash;
    use crate::core::sign_up::{new_account, plain_sign_up};

    const NOW: u64 = 20_000 * DAY + 1234;

    fn account(subscription: u64) -> Account {
        let sign_up = plain_sign_up("ann".to_owned(), String::new());
        let mut account = new_account(sign_up, PasswordHash(String::new()), NOW).unwrap();
        account.subscription = Some(Moment(subscription));
        account
    }

    #[test]
    fn a_token_ends_at_a_whole_hour_24_to_36_hours_ahead() {
        let account = account(u64::MAX);
        let ends: std::collections::BTreeSet<_> = (0..1000)
            .map(|draw| expiry(NOW, &account, draw).unwrap())
            .collect();
        assert_eq!(ends.len(), 12);
        for end in ends {
            assert_eq!(end % HOUR, 0);
            assert!((NOW + 24 * HOUR..=NOW + 36 * HOUR).contains(&end));
        }
    }

    #[test]
    fn a_token_never_outlives_the_subscription() {
        let end = 20_000 * DAY + HOUR;
        assert_eq!(expiry(NOW, &account(end), 5), Some(end));
        assert_eq!(expiry(end, &account(end), 5), None);
        assert_eq!(expiry(NOW, &account(end - 1), 5), None);
    }

    #[test]
    fn a_token_never_outlives_an_add_on_that_it_carries() {
        let mut account = account(u64::MAX);
        let soon = 20_000 * DAY + 2 * HOUR;
        account.ipv4 = Some(Moment(soon));
        account.multihop = Some(Moment(NOW - 1));
        let exp = expiry(NOW, &account, 5).unwrap();
        assert_eq!(exp, soon);
        assert!(carries(account.ipv4, exp) && !carries(account.multihop, exp));
        assert!(expiry(soon, &account, 5).unwrap() > soon + DAY);
    }

    fn directory() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("token.key");
        Signer::open(&path).unwrap();
        (directory, path)
    }

    #[test]
    fn the_key_is_made_once() {
        let (_directory, path) = directory();
        let keys = public_keys(&path).unwrap();
        Signer::open(&path).unwrap();
        assert_eq!(keys, public_keys(&path).unwrap());
        assert_eq!(STANDARD.decode(&keys[0]).unwrap().len(), 32);
    }

    #[test]
    fn while_keys_are_changed_nodes_know_both() {
        let (_directory, path) = directory();
        let former = public_keys(&path).unwrap().remove(0);
        let signer = Signer::open(&path).unwrap();
        let next = make_next(&path).unwrap();
        assert!(make_next(&path).is_err());
        assert_eq!(public_keys(&path).unwrap(), [former.clone(), next.clone()]);
        assert_eq!(use_next(&path).unwrap(), next);
        assert_eq!(public_keys(&path).unwrap(), std::slice::from_ref(&next));
        assert!(use_next(&path).is_err());
        // Until the hour ends, the service signs with the former key.
        let public = |signer: &Signer| signer.pair.read().unwrap().public_base64();
        assert_eq!(public(&signer), former);
        signer.turn().unwrap();
        assert_eq!(public(&signer), next);
    }

    #[test]
    fn the_former_key_is_zeroed_where_it_lay() {
        use std::io::Read as _;
        let (_directory, path) = directory();
        let mut former = std::fs::File::open(&path).unwrap();
        make_next(&path).unwrap();
        use_next(&path).unwrap();
        let mut left = Vec::new();
        former.read_to_end(&mut left).unwrap();
        assert!(!left.is_empty() && left.iter().all(|&byte| byte == 0));
    }
}
