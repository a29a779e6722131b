//! Descriptors that came from elsewhere.

use std::fs::File;

use nix::errno::Errno;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::Failure;

/// Closes every descriptor but the standard ones. Called before the process opens its own.
///
/// # Errors
/// The kernel refuses.
pub fn close_inherited() -> Result<(), Failure> {
    // SAFETY: nothing of this process owns a descriptor above 2 yet, as the caller promises
    // by calling this first; a closed one that is used all the same fails with EBADF.
    let done = unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    Errno::result(done)
        .map(drop)
        .map_err(|_| Failure::Descriptors)
}

/// Input is at its end, output goes nowhere.
pub fn lead_standard_to_null() -> Result<(), Failure> {
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
