//! Ping and pong: each end keeps one [`Alive`] for each stream.

use std::time::Instant;

use crate::constants::{DEAD_AFTER, PING_INTERVAL};

/// Tells whether the other end still answers.
#[derive(Clone, Copy)]
pub(crate) struct Alive {
    last_heard: Instant,
    ping_at: Instant,
}

impl Alive {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            last_heard: now,
            ping_at: now + PING_INTERVAL,
        }
    }

    /// Something was received.
    pub(crate) fn handle_received(&mut self, now: Instant) {
        self.last_heard = now;
    }

    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        now >= self.last_heard + DEAD_AFTER
    }

    /// Whether a ping is due. It says so once for each ping.
    pub(crate) fn take_ping(&mut self, now: Instant) -> bool {
        let due = now >= self.ping_at;
        if due {
            self.ping_at = now + PING_INTERVAL;
        }
        due
    }

    pub(crate) fn timeout(&self) -> Instant {
        self.ping_at.min(self.last_heard + DEAD_AFTER)
    }
}
