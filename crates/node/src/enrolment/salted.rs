//! Hashes that mean nothing once their salt is gone.

use std::hash::Hasher as _;

use rand_core::{OsRng, RngCore as _};
use siphasher::sip::SipHasher13;
use zeroize::Zeroize as _;

/// A random salt for the hashes of one table. It must not outlive the table.
pub(super) struct Salted([u8; 16]);

impl Salted {
    pub(super) fn new() -> Self {
        let mut salt = [0; 16];
        OsRng.fill_bytes(&mut salt);
        Self(salt)
    }

    pub(super) fn hash(&self, secret: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(secret);
        hasher.finish()
    }
}

impl Drop for Salted {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
