//! A stream of a node.

use std::time::Instant;

use crate::CloseReason;
use crate::alive::Alive;
use crate::constants::SYNC_WITHIN;

use super::ledger::Ledger;

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Accepted,
    /// After `hello`.
    Replaying,
    Synced,
}

pub(super) struct Stream<A> {
    pub node: Box<str>,
    pub stage: Stage,
    /// What was granted on it and not taken back.
    pub ledger: Ledger<A>,
    pub alive: Alive,
    /// When it was accepted, or said hello.
    since: Instant,
    next_report: u64,
}

impl<A> Stream<A> {
    pub fn new(node: &str, now: Instant) -> Self {
        Self {
            node: node.into(),
            stage: Stage::Accepted,
            ledger: Ledger::default(),
            alive: Alive::new(now),
            since: now,
            next_report: 0,
        }
    }

    pub fn greeted(&mut self, now: Instant) {
        self.stage = Stage::Replaying;
        self.since = now;
    }

    /// Reports are numbered from 0 by ones.
    pub fn expect_report(&mut self, n: u64) -> Result<(), CloseReason> {
        if n != self.next_report {
            return Err(CloseReason::Protocol);
        }
        self.next_report += 1;
        Ok(())
    }

    /// Why it must be closed now, if it must.
    pub fn overdue(&self, now: Instant) -> Option<CloseReason> {
        if self.alive.is_dead(now) {
            return Some(CloseReason::Silent);
        }
        (self.stage != Stage::Synced && now >= self.since + SYNC_WITHIN)
            .then_some(CloseReason::NotSynced)
    }

    pub fn timeout(&self) -> Instant {
        match self.stage {
            Stage::Synced => self.alive.timeout(),
            Stage::Accepted | Stage::Replaying => {
                self.alive.timeout().min(self.since + SYNC_WITHIN)
            }
        }
    }
}
