//! Opens an initiation as far as a responder can before it makes anything of its own (paper,
//! section 5.4.2): the static key, which tells the peer, and the time stamp, which tells whether
//! the initiation is a recorded one.
//!
//! boringtun's `parse_handshake_anon` opens only the static key, at the same cost of one
//! Diffie-Hellman. Its check of the time stamp is in `Tunn`, and a `Tunn` that is new for each
//! handshake has no earlier time stamp to compare with. Names are the paper's.

use blake2::digest::{self, FixedOutput as _, KeyInit as _};
use blake2::{Blake2s256, Digest as _};
use hmac::SimpleHmac;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::Endpoint;
use crate::spec::{CONSTRUCTION, IDENTIFIER, INITIATION_LEN};

/// An initiation as it was received. Nothing in it is verified.
pub struct Initiation {
    pub(crate) endpoint: Endpoint,
    pub(crate) bytes: [u8; INITIATION_LEN],
}

type Hmac = SimpleHmac<Blake2s256>;
type Key = Zeroizing<[u8; 32]>;

/// TAI64N. It is big-endian, so that the bytes compare as the time does.
pub(crate) type TimeStamp = [u8; 12];

/// Opens initiations to one responder.
pub(crate) struct InitiationReader {
    private_key: StaticSecret,
    chaining_key: [u8; 32],
    hash: [u8; 32],
}

/// An initiation whose static key was opened.
pub(crate) struct OpenedInitiation<'a> {
    pub static_key: [u8; 32],
    encrypted_timestamp: &'a [u8; 28],
    chaining_key: Key,
    hash: [u8; 32],
}

impl InitiationReader {
    pub(super) fn new(private_key: StaticSecret) -> Self {
        let public_key = PublicKey::from(&private_key);
        let chaining_key = hash(CONSTRUCTION, &[]);
        let identified = hash(&chaining_key, IDENTIFIER);
        Self {
            private_key,
            chaining_key,
            hash: hash(&identified, public_key.as_bytes()),
        }
    }

    /// Opens the static key; `None` if it does not decrypt.
    pub(super) fn open<'a>(
        &self,
        initiation: &'a [u8; INITIATION_LEN],
    ) -> Option<OpenedInitiation<'a>> {
        // Message type and the initiator's index come first.
        let (ephemeral, rest) = initiation.get(8..)?.split_first_chunk::<32>()?;
        let (encrypted_static, rest) = rest.split_first_chunk::<48>()?;
        let encrypted_timestamp = rest.first_chunk::<28>()?;

        let before = hash(&self.hash, ephemeral);
        let (chaining_key, _) = kdf(&self.chaining_key, ephemeral);
        let shared = self
            .private_key
            .diffie_hellman(&PublicKey::from(*ephemeral));
        let (chaining_key, key) = kdf(&chaining_key, shared.as_bytes());
        Some(OpenedInitiation {
            static_key: decrypt(&key, encrypted_static, &before)?,
            encrypted_timestamp,
            chaining_key,
            hash: hash(&before, encrypted_static),
        })
    }
}

impl OpenedInitiation<'_> {
    /// Opens the time stamp with the secret that the responder shares with the static key; `None`
    /// if the initiation is not by the holder of that key.
    pub(super) fn timestamp(&self, shared: &[u8; 32]) -> Option<TimeStamp> {
        let (_, key) = kdf(&self.chaining_key, shared);
        decrypt(&key, self.encrypted_timestamp, &self.hash)
    }
}

fn hash(first: &[u8], second: &[u8]) -> [u8; 32] {
    Blake2s256::new()
        .chain_update(first)
        .chain_update(second)
        .finalize()
        .into()
}

/// The paper's KDF of two keys.
fn kdf(chaining_key: &[u8; 32], input: &[u8]) -> (Key, Key) {
    let secret = hmac(chaining_key, input, &[]);
    let first = hmac(&secret, &[1], &[]);
    let second = hmac(&secret, &*first, &[2]);
    (first, second)
}

fn hmac(key: &[u8; 32], first: &[u8], second: &[u8]) -> Key {
    // RFC 2104 section 2: a key shorter than a block is padded with zeros.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut hmac = Hmac::new(digest::Key::<Hmac>::from_slice(&*block));
    digest::Update::update(&mut hmac, first);
    digest::Update::update(&mut hmac, second);
    Zeroizing::new(hmac.finalize_fixed().into())
}

fn decrypt<const LEN: usize>(key: &[u8; 32], sealed: &[u8], hash: &[u8; 32]) -> Option<[u8; LEN]> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut room = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let opened = key.open_in_place(nonce, Aad::from(hash), &mut room).ok()?;
    opened.first_chunk().copied()
}
