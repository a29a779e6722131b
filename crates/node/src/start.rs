//! From settings to a running daemon. Each step takes what the one before it returned.

mod acquire;
mod confine;
mod seal;
mod spawn;

use std::io;
use std::net::IpAddr;

use mayfly_sys::confine::Failure;

use crate::run::Stopped;
use crate::settings::Settings;
use crate::tls::TlsError;
use acquire::Acquired;
use confine::Confined;
use seal::Sealed;
use spawn::Spawned;

/// Why the daemon did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The system refused something that the daemon needs.
    #[error("{what}: {error}")]
    System {
        /// What the daemon asked for.
        what: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// The daemon could not give up its rights.
    #[error(transparent)]
    Confine(#[from] Failure),
    /// The node's TLS key, or the authority's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The daemon ran, and a packet thread ended.
    #[error("a packet thread ended")]
    PacketThread,
}

/// Starts the daemon and returns when it has drained. `boot_hosts` are closed to peers.
///
/// The order must not change. A kernel that cannot confine is refused before anything is changed on
/// the machine, and while the error can still be printed. What needs a right is opened first. The
/// rights are given up while there is only one thread, because they are per thread and inherited.
/// Then all other threads are made, and wait. After the seal no thread can be made, and few system
/// calls are left. Only then is the first byte from a network read.
///
/// # Errors
/// The error of the first step that failed, before anything was served, or `PacketThread`.
pub(crate) fn start(settings: Settings, boot_hosts: &[IpAddr]) -> Result<(), StartError> {
    confine::require(&settings)?;
    let acquired = Acquired::acquire(settings, boot_hosts)?;
    let confined = Confined::confine(acquired)?;
    let spawned = Spawned::spawn(confined)?;
    let sealed = Sealed::seal(spawned)?;
    match sealed.run() {
        Stopped::Drained => Ok(()),
        Stopped::PacketThread => Err(StartError::PacketThread),
    }
}

impl StartError {
    /// An exit code of sysexits(3).
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::System { error, .. } => match error.kind() {
                io::ErrorKind::PermissionDenied => 77,
                io::ErrorKind::NotFound
                | io::ErrorKind::AddrInUse
                | io::ErrorKind::AddrNotAvailable => 69,
                _ => 70,
            },
            Self::Confine(Failure::Capabilities | Failure::User) => 77,
            Self::Confine(Failure::Landlock) => 69,
            Self::Confine(_) | Self::Tls(_) | Self::PacketThread => 70,
        }
    }
}

/// Names what was wanted if the system refuses it.
fn wanted<T>(what: &'static str, done: io::Result<T>) -> Result<T, StartError> {
    done.map_err(|error| StartError::System { what, error })
}
