//! The attempts: ways for a process to leave something behind, or to get rights with which
//! it could.
//!
//! Each returns Ok if it came through. Where success would do harm, the call is made such
//! that it fails for another reason once its permission check is behind it; that counts as
//! having come through.

mod files;
mod kernel;
mod memory;
mod network;
mod processes;

use nix::errno::Errno;

use crate::place::Place;

/// One attempt.
pub struct Attempt {
    /// As in reports.
    pub name: &'static str,
    /// Does it.
    pub by: fn(&Place) -> Result<(), Errno>,
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Attempt> {
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

/// It came through if it succeeded, or failed for a reason that is asked about after the
/// permission.
fn past<T>(done: Result<T, Errno>, reasons: &[Errno]) -> Result<(), Errno> {
    match done {
        Err(errno) if !reasons.contains(&errno) => Err(errno),
        _ => Ok(()),
    }
}
