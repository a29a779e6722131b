//! Limits of the process.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

use super::Failure;

/// What no process of ours may use: resource, soft and hard limit.
const LIMITS: [Resource; 4] = [
    // Seccomp cannot stop a write to a file that is open already; this can.
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_MSGQUEUE,
    Resource::RLIMIT_MEMLOCK,
];

/// No file may grow, no core be written.
pub fn set() -> Result<(), Failure> {
    // Before the limit: a write beyond it would kill rather than fail.
    // SAFETY: no handler is installed, the signal is ignored.
    unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) }.map_err(|_| Failure::Limits)?;
    for resource in LIMITS {
        setrlimit(resource, 0, 0).map_err(|_| Failure::Limits)?;
    }
    Ok(())
}

/// Not even our own user may attach to us or read our memory. After the change of user,
/// which would set it back.
pub fn forbid_looking_inside() -> Result<(), Failure> {
    prctl::set_dumpable(false)
        .and_then(|()| prctl::set_no_new_privs())
        .map_err(|_| Failure::Limits)
}
