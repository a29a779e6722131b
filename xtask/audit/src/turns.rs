//! Guests take turns: a machine carries only some of them at work at a time.
//!
//! An emulated guest whose customers fetch pages as fast as they come keeps two processors busy,
//! one with its own work and one with the customers'. Three of them on two processors starve each
//! other until nothing comes through. So what needs the machine is done in a turn, and what only
//! waits (for a minute, or for 180 s of silence) gives it back.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use mayfly_host::progress::Strand;
use mayfly_host::signals;

/// Processors that one guest at work keeps busy.
const A_GUESTS: usize = 2;
/// Pause between two looks for a signal.
const LOOK: Duration = Duration::from_millis(100);

/// The turns that are free.
pub(crate) struct Turns {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// A turn. It is given back when this is dropped.
pub(crate) struct Turn<'a>(&'a Turns);

impl Turns {
    /// As many turns as this machine has processors for, and at least one.
    pub(crate) fn of_this_machine() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self::new((processors / A_GUESTS).max(1))
    }

    fn new(free: usize) -> Self {
        Self {
            free: Mutex::new(free),
            given_back: Condvar::new(),
        }
    }

    /// Waits for one.
    ///
    /// # Errors
    /// A signal.
    pub(crate) fn take(&self, strand: Strand) -> Result<Turn<'_>> {
        if let Some(turn) = self.try_take(self.free()) {
            return Ok(turn);
        }
        strand.step("wait for its turn", || self.await_one())
    }

    fn await_one(&self) -> Result<Turn<'_>> {
        loop {
            signals::check()?;
            let waited = self.given_back.wait_timeout(self.free(), LOOK);
            let (free, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if let Some(turn) = self.try_take(free) {
                return Ok(turn);
            }
        }
    }

    fn try_take(&self, mut free: MutexGuard<'_, usize>) -> Option<Turn<'_>> {
        *free = free.checked_sub(1)?;
        Some(Turn(self))
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free() += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_work_at_a_time_than_there_are_turns() {
        let turns = Turns::new(2);
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..5 {
                scope.spawn(|| {
                    let _turn = turns.take(Strand("test")).unwrap();
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(5));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!((1..=2).contains(&most.into_inner()));
        assert_eq!(*turns.free(), 2);
    }
}
