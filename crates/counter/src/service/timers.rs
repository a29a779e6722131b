//! When something is due, for many streams and nodes.
//!
//! An entry may be early, but never late: while a stream lives, its deadline only moves forward. So
//! when an entry comes up, its stream is checked, and entered again if it still has time. A
//! received frame costs nothing here, however many streams there are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

pub(super) struct Timers<K>(BinaryHeap<Reverse<(Instant, K)>>);

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<K: Ord> Timers<K> {
    pub(super) fn set(&mut self, at: Instant, of: K) {
        self.0.push(Reverse((at, of)));
    }

    /// When the first entry is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes one entry that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<K> {
        let due = self.next().is_some_and(|at| now >= at);
        due.then(|| self.0.pop())
            .flatten()
            .map(|Reverse((_, of))| of)
    }
}
