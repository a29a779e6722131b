//! A wait of a thread that has nothing else to do.

use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

/// Waits for some time, or until a signal comes. It is always the same system call, whichever C
/// library the program is linked with.
pub fn pause(time: Duration) {
    let flags = ClockNanosleepFlags::empty();
    // It is shorter if a signal comes, and there is no other error.
    let _ = clock_nanosleep(
        ClockId::CLOCK_MONOTONIC,
        flags,
        &TimeSpec::from_duration(time),
    );
}
