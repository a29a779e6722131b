//! A node, known by its name: its epochs and its credit.

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::{Duration, Instant};

use mayfly_wire::counter::Epoch;

use crate::CloseReason;
use crate::constants::{GRACE, REPLACED_EPOCHS};

use super::ledger::Ledger;

pub(super) struct Node<A> {
    epoch: Option<Epoch>,
    /// Oldest first. At most [`REPLACED_EPOCHS`].
    replaced: VecDeque<Epoch>,
    /// What the ledgers of dead streams held, until a new stream takes it over or it is taken off.
    credit: Ledger<A>,
    grace: Grace,
}

/// The clock of the credit (rule 4 of `crates/counter/PROTOCOL.md`).
#[derive(Clone, Copy)]
enum Grace {
    /// There is no credit, or all of its time is left.
    Whole,
    Running {
        ends: Instant,
    },
    /// A stream that is not synced yet is open.
    Stopped {
        left: Duration,
    },
}

impl<A> Default for Node<A> {
    fn default() -> Self {
        Self {
            epoch: None,
            replaced: VecDeque::new(),
            credit: Ledger::default(),
            grace: Grace::Whole,
        }
    }
}

impl<A: Copy + Eq + Hash> Node<A> {
    /// Makes `epoch` the current one, unless another one has replaced it.
    pub(super) fn admit(&mut self, epoch: Epoch) -> Result<(), CloseReason> {
        if self.replaced.contains(&epoch) {
            return Err(CloseReason::EpochReplaced);
        }
        if self.epoch == Some(epoch) {
            return Ok(());
        }
        if let Some(replaced) = self.epoch.replace(epoch) {
            if self.replaced.len() == REPLACED_EPOCHS {
                self.replaced.pop_front();
            }
            self.replaced.push_back(replaced);
        }
        Ok(())
    }

    /// The node's open stream died: what it counted becomes credit, and the clock runs. If the
    /// stream was not synced, the clock goes on from where it was stopped. Returns when it ends.
    pub(super) fn stream_died(&mut self, ledger: Ledger<A>, now: Instant) -> Instant {
        self.credit.add_all(&ledger);
        let left = match self.grace {
            Grace::Stopped { left } => left,
            Grace::Whole | Grace::Running { .. } => GRACE,
        };
        let ends = now + left;
        self.grace = Grace::Running { ends };
        ends
    }

    /// A stream that is not synced is open, and the clock stands still.
    pub(super) fn stop_grace(&mut self, now: Instant) {
        let left = match self.grace {
            Grace::Whole => GRACE,
            Grace::Running { ends } => ends.saturating_duration_since(now),
            Grace::Stopped { left } => left,
        };
        self.grace = Grace::Stopped { left };
    }

    pub(super) fn grace_ends(&self) -> Option<Instant> {
        match self.grace {
            Grace::Running { ends } => Some(ends),
            Grace::Whole | Grace::Stopped { .. } => None,
        }
    }

    /// Takes one device of an account out of the credit, if there is one.
    pub(super) fn spend_credit(&mut self, account: A) -> bool {
        self.credit.remove(account)
    }

    /// Takes all that is left.
    pub(super) fn take_credit(&mut self) -> Ledger<A> {
        self.grace = Grace::Whole;
        std::mem::take(&mut self.credit)
    }
}
