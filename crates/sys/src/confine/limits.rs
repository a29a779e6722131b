//! Resource limits of the process.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

use super::Failure;

/// The resources that no process of ours may use. Soft and hard limit are 0.
const LIMITS: [Resource; 4] = [
    // Seccomp cannot stop a write to a file that is open already. This can.
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_MSGQUEUE,
    Resource::RLIMIT_MEMLOCK,
];

/// From now on no file can grow, and no core is dumped.
pub(super) fn set() -> Result<(), Failure> {
    // Before the limit is set: a write beyond it would otherwise kill the process instead of
    // failing. SAFETY: no handler is installed. The signal is ignored.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.map_err(|_| Failure::Limits)?;
    for resource in LIMITS {
        setrlimit(resource, 0, 0).map_err(|_| Failure::Limits)?;
    }
    Ok(())
}

/// Not even the process's own user may attach to it or read its memory. To be called after the
/// change of user, which would reset this.
pub(super) fn forbid_looking_inside() -> Result<(), Failure> {
    prctl::set_dumpable(false)
        .and_then(|()| prctl::set_no_new_privs())
        .map_err(|_| Failure::Limits)
}
