//! The attempts: ways for a process to leave something behind, or to get rights with which it
//! could.
//!
//! An attempt returns Ok if it came through. If success would do harm, the call is made so that it
//! fails for another reason after its permission check. That counts as having come through.

mod files;
mod kernel;
mod memory;
mod network;
mod processes;

use nix::errno::Errno;

use crate::place::Place;

/// One attempt.
pub(crate) struct Attempt {
    /// Its name in reports.
    pub name: &'static str,
    /// Makes the attempt.
    pub by: fn(&Place) -> Result<(), Errno>,
}

/// All attempts.
pub(crate) fn all() -> impl Iterator<Item = &'static Attempt> {
    [
        files::ATTEMPTS,
        memory::ATTEMPTS,
        network::ATTEMPTS,
        kernel::ATTEMPTS,
        processes::ATTEMPTS,
    ]
    .into_iter()
    .flatten()
}

const fn attempt(name: &'static str, by: fn(&Place) -> Result<(), Errno>) -> Attempt {
    Attempt { name, by }
}

/// Ok if the call succeeded, or failed for a reason that is checked after the permission.
fn past<T>(done: Result<T, Errno>, reasons: &[Errno]) -> Result<(), Errno> {
    match done {
        Err(errno) if !reasons.contains(&errno) => Err(errno),
        _ => Ok(()),
    }
}
