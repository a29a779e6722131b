//! What is due when, for many streams and nodes.
//!
//! An entry may be early, never late: what is due of a stream only moves on while it lives.
//! So one that has come is looked at, and put back if there is time yet. Hearing a frame
//! costs nothing here, however many streams there are.

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
    pub fn set(&mut self, at: Instant, of: K) {
        self.0.push(Reverse((at, of)));
    }

    /// When the first of them comes.
    pub fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// One that has come, each once.
    pub fn take_due(&mut self, now: Instant) -> Option<K> {
        let due = self.next().is_some_and(|at| now >= at);
        due.then(|| self.0.pop())
            .flatten()
            .map(|Reverse((_, of))| of)
    }
}
