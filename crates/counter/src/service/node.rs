//! A node, as known by its name: its epochs and its credit.

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::{Duration, Instant};

use mayfly_wire::counter::Epoch;

use crate::CloseReason;
use crate::constants::{GRACE, REPLACED_EPOCHS};

use super::ledger::Ledger;

pub(super) struct Node<A> {
    epoch: Option<Epoch>,
    /// Oldest first.
    replaced: VecDeque<Epoch>,
    /// What the ledgers of dead streams held, until it is taken over or off.
    credit: Ledger<A>,
    grace: Grace,
}

/// The clock of the credit (rule 4).
#[derive(Clone, Copy)]
enum Grace {
    /// There is no credit, or it has its whole time yet.
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
    /// Makes `epoch` the present one, unless another has replaced it.
    pub fn admit(&mut self, epoch: Epoch) -> Result<(), CloseReason> {
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

    /// The node's open stream died: what it counted is credit, and the clock runs, from where
    /// it was stopped if the stream was not synced, to the moment that is returned.
    pub fn stream_died(&mut self, ledger: Ledger<A>, now: Instant) -> Instant {
        self.credit.add_all(&ledger);
        let left = match self.grace {
            Grace::Stopped { left } => left,
            Grace::Whole | Grace::Running { .. } => GRACE,
        };
        let ends = now + left;
        self.grace = Grace::Running { ends };
        ends
    }

    /// A stream that is not synced is open.
    pub fn stop_grace(&mut self, now: Instant) {
        let left = match self.grace {
            Grace::Whole => GRACE,
            Grace::Running { ends } => ends.saturating_duration_since(now),
            Grace::Stopped { left } => left,
        };
        self.grace = Grace::Stopped { left };
    }

    pub fn grace_ends(&self) -> Option<Instant> {
        match self.grace {
            Grace::Running { ends } => Some(ends),
            Grace::Whole | Grace::Stopped { .. } => None,
        }
    }

    /// Takes one device of an account out of the credit, if there is one.
    pub fn spend_credit(&mut self, account: A) -> bool {
        self.credit.remove(account)
    }

    /// Takes all that is left.
    pub fn take_credit(&mut self) -> Ledger<A> {
        self.grace = Grace::Whole;
        std::mem::take(&mut self.credit)
    }
}
