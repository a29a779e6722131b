//! Whether the other end is alive. Each end sends on every tick, so silence says that it is not.

use std::time::Instant;

use crate::constants::DEAD_AFTER;

/// When something was last received on a stream.
#[derive(Clone, Copy)]
pub(crate) struct Alive {
    last_heard: Instant,
}

impl Alive {
    pub(crate) fn new(now: Instant) -> Self {
        Self { last_heard: now }
    }

    /// Something was received.
    pub(crate) fn handle_received(&mut self, now: Instant) {
        self.last_heard = now;
    }

    pub(crate) fn is_dead(&self, now: Instant) -> bool {
        now >= self.timeout()
    }

    pub(crate) fn timeout(&self) -> Instant {
        self.last_heard + DEAD_AFTER
    }
}
