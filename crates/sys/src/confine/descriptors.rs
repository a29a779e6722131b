//! Descriptors that the process inherited.

use std::fs::File;

use nix::errno::Errno;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::Failure;

/// Closes every descriptor except the standard ones. To be called before the process opens its own.
///
/// # Errors
/// `Descriptors` if the kernel refuses.
pub fn close_inherited() -> Result<(), Failure> {
    // SAFETY: nothing in this process owns a descriptor above 2 yet, which the caller promises by
    // calling this first. A closed descriptor that is used nevertheless fails with EBADF.
    let done = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    Errno::result(done)
        .map(drop)
        .map_err(|_| Failure::Descriptors)
}

/// From now on input is at its end, and output goes nowhere.
pub(super) fn lead_standard_to_null() -> Result<(), Failure> {
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|_| Failure::Descriptors)?;
    dup2_stdin(&null)
        .and_then(|()| dup2_stdout(&null))
        .and_then(|()| dup2_stderr(&null))
        .map_err(|_| Failure::Descriptors)
}
