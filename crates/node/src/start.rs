//! From settings to a running daemon: each step takes what the one before it returned.

mod acquire;
mod confine;
mod seal;
mod spawn;

use std::io;

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
pub enum StartError {
    /// The system refused something that the daemon needs.
    #[error("{what}: {error}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// The rights could not be given up.
    #[error(transparent)]
    Confine(#[from] Failure),
    /// The node's TLS key or the authority's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It ran, and a packet thread ended.
    #[error("a packet thread ended")]
    PacketThread,
}

/// Starts the daemon and returns when it has drained.
///
/// The order is firm. A kernel that cannot confine is refused before anything is changed on
/// the machine, and while there is somebody to tell. What needs a right is opened first.
/// Rights are given up on the only thread there is, for they are per thread and inherited.
/// Then all other threads are made, and wait. Then no thread can be made any more, and the
/// system calls are few. Only then is the first byte from a network read.
///
/// # Errors
/// The first step that failed. Nothing has been served then.
pub fn start(settings: Settings) -> Result<(), StartError> {
    confine::require(&settings)?;
    let acquired = Acquired::acquire(settings)?;
    let confined = Confined::confine(acquired)?;
    let spawned = Spawned::spawn(confined)?;
    let sealed = Sealed::seal(spawned)?;
    match sealed.run() {
        Stopped::Drained => Ok(()),
        Stopped::PacketThread => Err(StartError::PacketThread),
    }
}

impl StartError {
    /// sysexits(3)
    pub fn exit_code(&self) -> u8 {
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

/// Says what was wanted when the system refuses.
fn wanted<T>(what: &'static str, done: io::Result<T>) -> Result<T, StartError> {
    done.map_err(|error| StartError::System { what, error })
}
