//! When a thread zeroes what its work has left in its buffers and on its stack.
//!
//! Not before each sleep: between two packets of a stream a thread sleeps, too, and zeroing would
//! cost more than they do. Once it was quiet for a moment; and however busy it is, by the clock,
//! for a small packet does not overwrite all that a long one has left.

use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollEvent, EpollTimeout};

/// Nothing came for so long: nothing is left then.
const QUIET: Duration = Duration::from_millis(10);
/// Nothing that came is left for longer, however much comes behind it.
const OLDEST: Duration = Duration::from_secs(1);

/// What there is to zero.
#[derive(Default)]
pub struct Residue {
    /// Since when.
    since: Option<Instant>,
    is_old: bool,
}

impl Residue {
    /// Something is about to be done.
    pub fn expect(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        self.is_old = now.saturating_duration_since(since) >= OLDEST;
    }

    /// Waits for events until a deadline, and zeroes, when it is time, by `scrub`. Gives the number
    /// of events; of a signal it makes none.
    ///
    /// # Errors
    /// epoll's.
    pub fn wait(
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

    /// No longer than until it is quiet.
    fn patience(&self, deadline: Option<Instant>) -> EpollTimeout {
        match self.since {
            None => until(deadline),
            Some(_) if self.is_old => EpollTimeout::ZERO,
            Some(_) => EpollTimeout::try_from(QUIET).unwrap_or(EpollTimeout::ZERO),
        }
    }

    /// Whether all is to be zeroed, after a wait that gave so many events; if so, it is taken as
    /// done.
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

/// Rounded up: waking early is a busy loop.
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
        let (mut residue, start) = (Residue::default(), Instant::now());
        for millis in 0..1_000 {
            residue.expect(start + Duration::from_millis(millis));
            assert!(!residue.is_due(1));
        }
        residue.expect(start + OLDEST);
        assert!(residue.is_due(1));
        assert!(!residue.is_due(0), "it was done");
    }

    #[test]
    fn a_quiet_moment_is_enough() {
        let (mut residue, now) = (Residue::default(), Instant::now());
        assert!(!residue.is_due(0), "nothing was done");
        residue.expect(now);
        let far = Some(now + Duration::from_secs(60));
        let quiet = EpollTimeout::try_from(QUIET).unwrap();
        assert_eq!(residue.patience(far), quiet);
        assert!(residue.is_due(0));
        assert!(residue.patience(far) > quiet);
    }
}
