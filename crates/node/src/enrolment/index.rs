//! Finding an enrolment by its key or ticket, in a table that holds neither: what is taken out
//! of a hash table stays in its memory until something else takes the place.

use std::hash::Hasher as _;

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

use super::EnrolmentId;

/// Numbers of enrolments, by salted hashes of something secret.
pub struct Index {
    salt: (u64, u64),
    table: HashTable<(u64, EnrolmentId)>,
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
        let hash = self.hash(bytes);
        let found = self
            .table
            .find(hash, |&(other, id)| other == hash && has(id))?;
        Some(found.1)
    }

    /// Adds an enrolment that is not in it under these bytes.
    pub fn insert(&mut self, bytes: &[u8], id: EnrolmentId) {
        let hash = self.hash(bytes);
        self.table
            .insert_unique(hash, (hash, id), |&(hash, _)| hash);
    }

    /// Takes an enrolment out.
    pub fn remove(&mut self, bytes: &[u8], id: EnrolmentId) {
        let hash = self.hash(bytes);
        if let Ok(found) = self.table.find_entry(hash, |&(_, other)| other == id) {
            found.remove();
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.salt.0, self.salt.1);
        hasher.write(bytes);
        hasher.finish()
    }
}
