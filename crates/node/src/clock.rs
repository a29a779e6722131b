//! The node's wall clock: an offset over the monotonic one.
//!
//! The system's clock is read once, at start. From then on the account service's word
//! counts, so that nobody on the boot network can make an expired token fresh again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// 2026-11-01, in seconds since 1970: this program is not older, so no clock is right that
/// says less. (In the image, init raises the system's clock to the image's date before.)
pub const EARLIEST: u64 = 1_793_491_200;

/// Seconds since 1970. Clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: Instant,
    /// What the clock showed at `origin`.
    at_origin: Arc<AtomicU64>,
    /// Whether that is the account service's word.
    told: Arc<AtomicBool>,
}

impl Clock {
    /// A clock that begins with the system's time.
    pub fn from_system() -> Self {
        let system = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self::starting_at(system.map_or(0, |since| since.as_secs()))
    }

    fn starting_at(seconds: u64) -> Self {
        Self {
            origin: Instant::now(),
            at_origin: Arc::new(AtomicU64::new(seconds.max(EARLIEST))),
            told: Arc::default(),
        }
    }

    /// Sets the clock to what the account service says; a time before the program was written is taken for the day it was.
    pub fn set(&self, seconds: u64) {
        let at_origin = seconds.max(EARLIEST).saturating_sub(self.elapsed());
        self.at_origin.store(at_origin, Ordering::Relaxed);
        self.told.store(true, Ordering::Relaxed);
    }

    /// Whether the account service has said what time it is.
    pub fn was_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// The time, in seconds since 1970.
    pub fn unix_seconds(&self) -> u64 {
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
