//! The node's WireGuard public keys.
//!
//! The handshake thread makes a new key each day and says so here. The control thread gives the
//! newest to every client that enrols or renews. While no client can renew, because the account
//! service is out of reach, sessions outlive their tokens (rule 7 of
//! `crates/counter/PROTOCOL.md`), and so do the keys that they need.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use mayfly_wire::PublicKey;

/// Keys that answer at a time, at most, unless they are kept: an enrolment lasts 36 hours, so that a
/// key is of use for 60.
const MOST: usize = 3;

/// The keys that may answer, the newest last. Clones are the same list.
#[derive(Clone)]
pub(crate) struct NodeKeys(Arc<Shared>);

struct Shared {
    keys: RwLock<Vec<PublicKey>>,
    are_kept: AtomicBool,
}

impl NodeKeys {
    /// The list with the first key.
    pub(crate) fn new(first: PublicKey) -> Self {
        Self(Arc::new(Shared {
            keys: RwLock::new(vec![first]),
            are_kept: AtomicBool::new(false),
        }))
    }

    /// Adds a key, which answers already.
    pub(crate) fn add(&self, key: PublicKey) {
        let mut keys = self.0.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.push(key);
        let too_many = keys.len().saturating_sub(MOST);
        keys.drain(..too_many);
    }

    /// The key for clients that enrol or renew now.
    pub(crate) fn newest(&self) -> PublicKey {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        // There is always one.
        keys.last().copied().unwrap_or(PublicKey([0; 32]))
    }

    /// Says whether keys must outlive the enrolments that they were given to.
    pub(crate) fn keep(&self, are_kept: bool) {
        self.0.are_kept.store(are_kept, Ordering::Relaxed);
    }

    /// Whether they must.
    pub(crate) fn are_kept(&self) -> bool {
        self.0.are_kept.load(Ordering::Relaxed)
    }

    /// Whether a key is the node's own.
    pub(crate) fn contain(&self, key: PublicKey) -> bool {
        let keys = self.0.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.contains(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_given_out_and_three_days_keys_are_the_nodes_own() {
        let key = |number| PublicKey([number; 32]);
        let keys = NodeKeys::new(key(1));
        assert!(keys.newest() == key(1));
        (2..=4).for_each(|number| keys.clone().add(key(number)));
        assert!(keys.newest() == key(4));
        let own = [1, 2, 3, 4, 5].map(|number| keys.contain(key(number)));
        assert_eq!(own, [false, true, true, true, false]);
    }
}
