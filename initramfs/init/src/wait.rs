//! Waiting for descriptors, which is all that PID 1 does most of the time.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Returns when one of `descriptors` is readable, at `until`, or earlier.
///
/// # Errors
/// As poll(2).
pub fn readable(descriptors: &[BorrowedFd<'_>], until: Instant) -> io::Result<()> {
    let mut polled: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|descriptor| PollFd::new(*descriptor, PollFlags::POLLIN))
        .collect();
    // A millisecond more, since the kernel counts in whole ones and must not be early.
    let left = until.saturating_duration_since(Instant::now()).as_millis() + 1;
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
