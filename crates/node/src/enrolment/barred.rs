//! Keys that are refused for a while, as salted hashes.

use std::collections::HashMap;
use std::hash::Hasher as _;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use mayfly_wire::PublicKey;

/// How long a key is refused after its session was finally denied (the counter's rule 6).
const BARRED_FOR: Duration = Duration::from_secs(600);

/// Refused keys. A key costs five minutes of an enrolled session to get here, so there are
/// at most twice as many as addresses in the pools.
pub struct Barred {
    salt: (u64, u64),
    until: HashMap<u64, Instant>,
}

impl Barred {
    pub fn new(salt_0: u64, salt_1: u64) -> Self {
        Self {
            salt: (salt_0, salt_1),
            until: HashMap::new(),
        }
    }

    pub fn add(&mut self, key: PublicKey, now: Instant) {
        self.until.retain(|_, until| *until > now);
        self.until.insert(self.hash(key), now + BARRED_FOR);
    }

    pub fn holds(&self, key: PublicKey, now: Instant) -> bool {
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
