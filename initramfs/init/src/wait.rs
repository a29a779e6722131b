//! Waiting for descriptors. PID 1 does this most of the time.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Returns when one of `descriptors` is readable, at `until`, or earlier.
///
/// # Errors
/// Those of poll(2), except EINTR.
pub(crate) fn readable(descriptors: &[BorrowedFd<'_>], until: Instant) -> io::Result<()> {
    let mut polled: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|descriptor| PollFd::new(*descriptor, PollFlags::POLLIN))
        .collect();
    // One millisecond more: the kernel counts whole milliseconds and must not return early.
    let left = until.saturating_duration_since(Instant::now()).as_millis() + 1;
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    match poll(&mut polled, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
