//! Ping and pong: both ends keep one of these for each stream.

use std::time::Instant;

use crate::constants::{DEAD_AFTER, PING_INTERVAL};

/// Whether the other end is there.
#[derive(Clone, Copy)]
pub(crate) struct Alive {
    heard: Instant,
    ping_at: Instant,
}

impl Alive {
    pub fn new(now: Instant) -> Self {
        Self {
            heard: now,
            ping_at: now + PING_INTERVAL,
        }
    }

    pub fn hear(&mut self, now: Instant) {
        self.heard = now;
    }

    pub fn is_dead(&self, now: Instant) -> bool {
        now >= self.heard + DEAD_AFTER
    }

    /// Whether a ping is due; says so once each time.
    pub fn wants_ping(&mut self, now: Instant) -> bool {
        let due = now >= self.ping_at;
        if due {
            self.ping_at = now + PING_INTERVAL;
        }
        due
    }

    pub fn timeout(&self) -> Instant {
        self.ping_at.min(self.heard + DEAD_AFTER)
    }
}
