//! What is due at which of the next ticks.
//!
//! A tick takes what is due at it and looks at nothing else, however many sessions there are. What
//! has been taken is freed, and says no longer which session had its turn when.

use std::collections::VecDeque;

/// Ids, by the number of ticks until their turn. There are never more places than the longest
/// time ahead has ticks.
pub(super) struct Agenda<Id>(VecDeque<Vec<Id>>);

impl<Id> Default for Agenda<Id> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<Id> Agenda<Id> {
    /// Enters an id for the next tick, or as many ticks after it as `later` says.
    pub(super) fn enter(&mut self, id: Id, later: usize) {
        while self.0.len() <= later {
            self.0.push_back(Vec::new());
        }
        if let Some(tick) = self.0.get_mut(later) {
            tick.push(id);
        }
    }

    /// What is due at the next tick, which is now.
    pub(super) fn tick(&mut self) -> Vec<Id> {
        self.0.pop_front().unwrap_or_default()
    }
}
