//! The node's wall clock: an offset from the monotonic clock.
//!
//! The system's clock is read once, at start. After that only the account service sets the time, so
//! that no one on the boot network can make an expired token valid again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// 2026-11-01, in seconds since 1970. This program is not older, so a clock that shows an earlier
/// time is wrong. (In the image, init has already raised the system's clock to the image's date.)
pub(crate) const EARLIEST: u64 = 1_793_491_200;

/// Seconds since 1970. Clones show the same time.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    origin: Instant,
    /// What the clock showed at `origin`.
    at_origin: Arc<AtomicU64>,
    /// Whether the account service has set it.
    was_set: Arc<AtomicBool>,
}

impl Clock {
    /// A clock that starts with the system's time.
    pub(crate) fn from_system() -> Self {
        let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self::starting_at(system.map_or(0, |since| since.as_secs()))
    }

    fn starting_at(seconds: u64) -> Self {
        Self {
            origin: Instant::now(),
            at_origin: Arc::new(AtomicU64::new(seconds.max(EARLIEST))),
            was_set: Arc::default(),
        }
    }

    /// Sets the clock to the account service's time. A time before [`EARLIEST`] becomes `EARLIEST`.
    pub(crate) fn set(&self, seconds: u64) {
        let at_origin = seconds.max(EARLIEST).saturating_sub(self.elapsed());
        self.at_origin.store(at_origin, Ordering::Relaxed);
        self.was_set.store(true, Ordering::Relaxed);
    }

    /// Whether the account service has set the clock.
    pub(crate) fn was_set(&self) -> bool {
        self.was_set.load(Ordering::Relaxed)
    }

    /// The time, in seconds since 1970.
    pub(crate) fn unix_seconds(&self) -> u64 {
        self.at_origin
            .load(Ordering::Relaxed)
            .saturating_add(self.elapsed())
    }

    fn elapsed(&self) -> u64 {
        self.origin.elapsed().as_secs()
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = Duration::from_secs(self.unix_seconds());
        Some(UnixTime::since_unix_epoch(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_never_earlier_than_the_program() {
        let clock = Clock::starting_at(0);
        assert!(clock.unix_seconds() >= EARLIEST);
        clock.set(12);
        assert!(clock.unix_seconds() >= EARLIEST);
    }

    #[test]
    fn a_clock_that_was_set_is_so_in_every_clone() {
        let clock = Clock::from_system();
        let clone = clock.clone();
        clock.set(EARLIEST + 86_400);
        let shown = clone.unix_seconds() - EARLIEST;
        assert!((86_400..86_410).contains(&shown));
    }
}
