//! How many devices of which account.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Counts above zero; an account without devices is not in it.
pub(super) struct Ledger<A>(HashMap<A, u8>);

impl<A> Default for Ledger<A> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<A: Copy + Eq + Hash> Ledger<A> {
    pub fn count(&self, account: &A) -> u8 {
        self.0.get(account).copied().unwrap_or(0)
    }

    pub fn accounts(&self) -> impl Iterator<Item = A> {
        self.0.keys().copied()
    }

    pub fn add(&mut self, account: A) {
        let count = self.0.entry(account).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// One fewer; false if there is none.
    pub fn remove(&mut self, account: A) -> bool {
        let Entry::Occupied(mut entry) = self.0.entry(account) else {
            return false;
        };
        match entry.get() {
            0 | 1 => drop(entry.remove()),
            more => {
                let fewer = more - 1;
                *entry.get_mut() = fewer;
            }
        }
        true
    }

    pub fn add_all(&mut self, other: &Self) {
        for (&account, &count) in &other.0 {
            (0..count).for_each(|_| self.add(account));
        }
    }

    pub fn subtract(&mut self, other: &Self) {
        for (&account, &count) in &other.0 {
            for _ in 0..count {
                self.remove(account);
            }
        }
    }
}
