//! Finding something by a secret, in a table that does not hold the secret.
//!
//! An entry that is taken out of a hash table stays in the table's memory until another takes its
//! place. So this table holds values that mean nothing by themselves (a slot, a number), in the
//! order of salted hashes of the secret. The secret itself is kept once, in the place that the
//! value leads to, and is zeroed there.

use std::hash::{Hash, Hasher as _};

use hashbrown::HashTable;
use siphasher::sip::SipHasher13;

/// Values, each found by a secret of its own.
pub struct SecretIndex<T> {
    table: HashTable<T>,
    hasher: SipHasher13,
}

impl<T: Copy + PartialEq> SecretIndex<T> {
    /// An empty index. The salt is random for each boot; it also keeps clients from choosing
    /// secrets whose hashes collide.
    pub fn new(salt: [u8; 16]) -> Self {
        Self {
            table: HashTable::new(),
            hasher: SipHasher13::new_with_key(&salt),
        }
    }

    /// The value with this secret. `is_it` says whether a value with the same hash is the one.
    pub fn find(&self, secret: &(impl Hash + ?Sized), is_it: impl Fn(T) -> bool) -> Option<T> {
        self.table
            .find(self.hash(secret), |&value| is_it(value))
            .copied()
    }

    /// Adds a value that is not in the index. `secret_of` gives the secret of each value that is.
    pub fn insert<S: Hash>(&mut self, secret: S, value: T, secret_of: impl Fn(T) -> Option<S>) {
        let hasher = self.hasher;
        let hash = |secret: S| salted_hash(hasher, &secret);
        self.table.insert_unique(hash(secret), value, |&other| {
            secret_of(other).map_or(0, hash)
        });
    }

    /// Takes a value out, if it is in the index with this secret.
    pub fn remove(&mut self, secret: &(impl Hash + ?Sized), value: T) {
        let hash = self.hash(secret);
        if let Ok(found) = self.table.find_entry(hash, |&other| other == value) {
            found.remove();
        }
    }

    /// The salted hash of a secret.
    pub fn hash(&self, secret: &(impl Hash + ?Sized)) -> u64 {
        salted_hash(self.hasher, secret)
    }

    /// How many values it holds.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Memory of the table, in bytes.
    pub fn allocation_size(&self) -> usize {
        self.table.allocation_size()
    }
}

#[inline]
fn salted_hash(mut hasher: SipHasher13, secret: &(impl Hash + ?Sized)) -> u64 {
    secret.hash(&mut hasher);
    hasher.finish()
}
