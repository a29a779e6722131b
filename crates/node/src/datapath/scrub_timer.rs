//! When a thread zeroes what its work has left in its buffers and on its stack.
//!
//! It does not do so before each sleep, because it also sleeps between two packets of a stream, and
//! zeroing would cost more than the packets do. It zeroes once it has been quiet for a moment. A
//! busy thread zeroes by the clock, because a small packet does not overwrite all that a long one
//! has left.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollTimeout};

/// A thread that has had nothing to do for this long zeroes what is left.
const QUIET: Duration = Duration::from_millis(10);
/// No remains are older than this, however busy the thread is.
const OLDEST: Duration = Duration::from_secs(1);

/// Knows how long there has been something to zero.
#[derive(Default)]
pub(super) struct ScrubTimer {
    /// When the oldest remains may have been left.
    since: Option<Instant>,
    is_old: bool,
}

impl ScrubTimer {
    /// The thread is about to do something that leaves remains.
    pub(super) fn expect(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.is_old = now.saturating_duration_since(since) >= OLDEST;
    }

    /// Waits for events until a deadline, and calls `scrub` when it is time. Returns the number of
    /// events. A signal counts as no event.
    ///
    /// # Errors
    /// epoll fails with anything but an interruption.
    pub(super) fn wait(
        &mut self,
        epoll: &Epoll,
        events: &mut [EpollEvent],
        deadline: Option<Instant>,
        scrub: impl FnOnce(),
    ) -> io::Result<usize> {
        let ready = wait(epoll, events, self.patience(deadline))?;
        if !self.is_due(ready) {
            return Ok(ready);
        }
        scrub();
        if ready > 0 {
            return Ok(ready);
        }
        wait(epoll, events, until(deadline))
    }

    /// How long to wait at first: until the thread counts as quiet, at most.
    fn patience(&self, deadline: Option<Instant>) -> EpollTimeout {
        match self.since {
            None => until(deadline),
            Some(_) if self.is_old => EpollTimeout::ZERO,
            Some(_) => EpollTimeout::try_from(QUIET).unwrap_or(EpollTimeout::ZERO),
        }
    }

    /// Whether to zero after a wait that returned `ready` events. If so, it counts as done.
    fn is_due(&mut self, ready: usize) -> bool {
        let due = self.since.is_some() && (ready == 0 || self.is_old);
        if due {
            *self = Self::default();
        }
        due
    }
}

fn wait(epoll: &Epoll, events: &mut [EpollEvent], timeout: EpollTimeout) -> io::Result<usize> {
    match epoll.wait(events, timeout) {
        Err(Errno::EINTR) => Ok(0),
        ready => Ok(ready?),
    }
}

/// Rounded up: to wake early would be a busy loop.
fn until(deadline: Option<Instant>) -> EpollTimeout {
    let Some(deadline) = deadline else {
        return EpollTimeout::NONE;
    };
    let patience = deadline.saturating_duration_since(Instant::now());
    EpollTimeout::try_from(patience + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_packets_come_it_waits_for_a_second_at_most() {
        let (mut timer, start) = (ScrubTimer::default(), Instant::now());
        for millis in 0..1_000 {
            timer.expect(start + Duration::from_millis(millis));
            assert!(!timer.is_due(1));
        }
        timer.expect(start + OLDEST);
        assert!(timer.is_due(1));
        assert!(!timer.is_due(0), "it was done");
    }

    #[test]
    fn a_quiet_moment_is_enough() {
        let (mut timer, now) = (ScrubTimer::default(), Instant::now());
        assert!(!timer.is_due(0), "nothing was done");
        timer.expect(now);
        let far = Some(now + Duration::from_secs(60));
        let quiet = EpollTimeout::try_from(QUIET).unwrap();
        assert_eq!(timer.patience(far), quiet);
        assert!(timer.is_due(0));
        assert!(timer.patience(far) > quiet);
    }
}
