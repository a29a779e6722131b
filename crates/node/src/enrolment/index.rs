//! Finding an enrolment by its key or ticket, in a table that holds neither: what is taken out
//! of a hash table stays in its memory until something else takes the place.

use std::hash::Hasher as _;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::EnrolmentId;

/// Numbers of enrolments, in the order of salted hashes of something secret.
pub struct Index {
    salt: (u64, u64),
    table: HashTable<EnrolmentId>,
}

impl Index {
    /// An empty index.
    pub fn new(salt_0: u64, salt_1: u64) -> Self {
        Self {
            salt: (salt_0, salt_1),
            table: HashTable::new(),
        }
    }

    /// The enrolment that has these bytes, of which `has` tells.
    pub fn find(&self, bytes: &[u8], has: impl Fn(EnrolmentId) -> bool) -> Option<EnrolmentId> {
        self.table
            .find(hash(self.salt, bytes), |&id| has(id))
            .copied()
    }

    /// Adds an enrolment that is not in it under these bytes. `of` tells the bytes of all others.
    pub fn insert<'a>(
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

    /// Takes an enrolment out.
    pub fn remove(&mut self, bytes: &[u8], id: EnrolmentId) {
        let hash = hash(self.salt, bytes);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == id) {
            found.remove();
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }
}

fn hash(salt: (u64, u64), bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(salt.0, salt.1);
    hasher.write(bytes);
    hasher.finish()
}
