//! Finds an enrolment by its key or ticket, in a table that holds neither. A table must not hold
//! them, because what is removed from a hash table stays in its memory until another entry takes
//! the place.

use std::hash::Hasher as _;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::EnrolmentId;

/// Ids of enrolments, found by salted hashes of something secret.
pub(super) struct Index {
    salt: (u64, u64),
    table: HashTable<EnrolmentId>,
}

impl Index {
    /// An empty index.
    pub(super) fn new(salt_0: u64, salt_1: u64) -> Self {
        Self {
            salt: (salt_0, salt_1),
            table: HashTable::new(),
        }
    }

    /// The enrolment for which `has` returns true, among those with the hash of these bytes.
    pub(super) fn find(
        &self,
        bytes: &[u8],
        has: impl Fn(EnrolmentId) -> bool,
    ) -> Option<EnrolmentId> {
        self.table
            .find(hash(self.salt, bytes), |&id| has(id))
            .copied()
    }

    /// Adds an enrolment that is not in the index under these bytes. `of` returns the bytes of
    /// every other enrolment.
    pub(super) fn insert<'a>(
        &mut self,
        bytes: &[u8],
        id: EnrolmentId,
        of: impl Fn(EnrolmentId) -> Option<&'a [u8]>,
    ) {
        let salt = self.salt;
        self.table.insert_unique(hash(salt, bytes), id, |&other| {
            of(other).map_or(0, |bytes| hash(salt, bytes))
        });
    }

    /// Removes an enrolment.
    pub(super) fn remove(&mut self, bytes: &[u8], id: EnrolmentId) {
        let hash = hash(self.salt, bytes);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == id) {
            found.remove();
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

fn hash(salt: (u64, u64), bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(salt.0, salt.1);
    hasher.write(bytes);
    hasher.finish()
}
