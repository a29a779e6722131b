//! How many devices of each account count.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// Counts above zero. An account without devices is not in it.
pub(super) struct Ledger<A>(HashMap<A, u8>);

impl<A> Default for Ledger<A> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<A: Copy + Eq + Hash> Ledger<A> {
    pub(super) fn count(&self, account: &A) -> u8 {
        self.0.get(account).copied().unwrap_or(0)
    }

    pub(super) fn accounts(&self) -> impl Iterator<Item = A> {
        self.0.keys().copied()
    }

    pub(super) fn add(&mut self, account: A) {
        let count = self.0.entry(account).or_insert(0);
        *count = count.saturating_add(1);
    }

    /// Takes one device off. Returns false if there is none.
    pub(super) fn remove(&mut self, account: A) -> bool {
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

    pub(super) fn add_all(&mut self, other: &Self) {
        for (&account, &count) in &other.0 {
            (0..count).for_each(|_| self.add(account));
        }
    }

    pub(super) fn subtract(&mut self, other: &Self) {
        for (&account, &count) in &other.0 {
            for _ in 0..count {
                self.remove(account);
            }
        }
    }
}
