//! Keys that are refused for a while (rule 6 of `crates/counter/PROTOCOL.md`), as salted hashes.

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::time::Instant;

use siphasher::sip::SipHasher13;

use mayfly_counter::constants::KEY_REFUSED_FOR;
use mayfly_wire::PublicKey;

/// Refused keys. A key gets here by five minutes of an enrolled session, and stays for
/// [`KEY_REFUSED_FOR`], which is ten. So there are at most twice as many as addresses in the pools.
pub(super) struct Barred {
    salt: (u64, u64),
    until: HashMap<u64, Instant>,
}

impl Barred {
    pub(super) fn new(salt_0: u64, salt_1: u64) -> Self {
        Self {
            salt: (salt_0, salt_1),
            until: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, key: PublicKey, now: Instant) {
        self.until.retain(|_, until| *until > now);
        self.until.insert(self.hash(key), now + KEY_REFUSED_FOR);
    }

    pub(super) fn holds(&self, key: PublicKey, now: Instant) -> bool {
        self.until
            .get(&self.hash(key))
            .is_some_and(|until| *until > now)
    }

    fn hash(&self, key: PublicKey) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.salt.0, self.salt.1);
        hasher.write(&key.0);
        hasher.finish()
    }
}
