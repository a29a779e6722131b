//! One stream of a node.

use std::time::Instant;

use mayfly_wire::counter::ServiceFrame;

use crate::CloseReason;
use crate::alive::Alive;
use crate::constants::{SYNC_AT_MOST, SYNC_WITHIN};
use crate::send_queue::SendQueue;

use super::ledger::Ledger;

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Accepted,
    /// After `hello`, until there is room for its replay.
    Waiting,
    /// After `welcome`.
    Replaying,
    Synced,
}

pub(super) struct Stream<A> {
    pub(super) node: Box<str>,
    pub(super) stage: Stage,
    /// What was granted on this stream and not taken back.
    pub(super) ledger: Ledger<A>,
    pub(super) alive: Alive,
    pub(super) queue: SendQueue<ServiceFrame>,
    /// When it was accepted. After `welcome`, when that was given.
    entered: Instant,
    /// When something of its replay came last, or it entered its stage.
    progress: Instant,
    next_report: u64,
}

impl<A> Stream<A> {
    pub(super) fn new(node: &str, now: Instant) -> Self {
        Self {
            node: node.into(),
            stage: Stage::Accepted,
            ledger: Ledger::default(),
            alive: Alive::new(now),
            queue: SendQueue::new(now),
            entered: now,
            progress: now,
            next_report: 0,
        }
    }

    pub(super) fn welcome(&mut self, now: Instant) {
        self.stage = Stage::Replaying;
        self.entered = now;
        self.progress = now;
    }

    /// A report has come.
    pub(super) fn handle_progress(&mut self, now: Instant) {
        self.progress = now;
    }

    /// Checks the number of a report. Reports are numbered 0, 1, 2, ...
    pub(super) fn expect_report(&mut self, n: u64) -> Result<(), CloseReason> {
        if n != self.next_report {
            return Err(CloseReason::Protocol);
        }
        self.next_report += 1;
        Ok(())
    }

    /// The reason to close it now, if there is one.
    pub(super) fn overdue(&self, now: Instant) -> Option<CloseReason> {
        if self.alive.is_dead(now) {
            return Some(CloseReason::Silent);
        }
        let late = self.sync_by().is_some_and(|by| now >= by);
        late.then_some(CloseReason::NotSynced)
    }

    /// Rule 9: until when it must say more of its replay.
    fn sync_by(&self) -> Option<Instant> {
        match self.stage {
            Stage::Accepted => Some(self.entered + SYNC_WITHIN),
            Stage::Replaying => {
                Some((self.progress + SYNC_WITHIN).min(self.entered + SYNC_AT_MOST))
            }
            Stage::Waiting | Stage::Synced => None,
        }
    }

    /// When it has something to send or may be overdue.
    pub(super) fn timeout(&self) -> Instant {
        let next = self.queue.timeout().min(self.alive.timeout());
        self.sync_by().map_or(next, |by| next.min(by))
    }
}
