//! The errors that several floors make or read.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::core::password;
use crate::core::random::NoRandomness;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or a directory cannot be used.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: String,
        /// The system's error.
        source: io::Error,
    },
    /// The listener, the runtime or the signals cannot be set up.
    #[error("the listener: {0}")]
    Listen(io::Error),
    /// A certificate cannot be made, or the TLS library refuses what it was given.
    #[error("TLS: {0}")]
    Tls(String),
    /// The arguments do not fit. Holds what to do instead.
    #[error("{0}")]
    Usage(&'static str),
    /// Standard input or output cannot be used.
    #[error("standard input or output: {0}")]
    Stdio(io::Error),
    /// The system returned no random bytes.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A password was not hashed.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// The counter's thread cannot be started.
    #[error("cannot start the counter's thread: {0}")]
    Thread(io::Error),
}

impl StartError {
    pub(crate) fn file(path: PathBuf, source: io::Error) -> Self {
        Self::File {
            path: path.display().to_string(),
            source,
        }
    }

    /// The status to exit with (sysexits.h).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Store(StoreError::UnknownVersion { .. } | StoreError::Traces(_)) => 78,
            Self::Usage(_) | Self::Store(StoreError::NameTaken | StoreError::NoSuchAccount) => 1,
            Self::File { source, .. }
            | Self::Listen(source)
            | Self::Store(StoreError::File(source))
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                77
            }
            Self::File { .. } | Self::Listen(_) | Self::Stdio(_) => 69,
            Self::Store(_)
            | Self::Tls(_)
            | Self::Randomness(_)
            | Self::Password(_)
            | Self::Thread(_) => 70,
        }
    }
}

/// Why the store refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database has the schema of another version of this program.
    #[error("the database has schema version {found}, and this program knows version {known}")]
    UnknownVersion {
        /// The version of the database.
        found: i64,
        /// The version that this program knows.
        known: i64,
    },
    /// The database would keep a history of rows. Holds what to change.
    #[error("the database would leave traces: {0}")]
    Traces(String),
    /// Another account has the user name.
    #[error("the user name is taken")]
    NameTaken,
    /// There is no such account.
    #[error("there is no such account")]
    NoSuchAccount,
    /// The file cannot be made or opened.
    #[error("the database file: {0}")]
    File(#[from] io::Error),
    /// The thread that queried SQLite ended without an answer.
    #[error("the database task failed")]
    Task,
    /// Any other error of SQLite. Its text may name a column, but never a value.
    #[error("the database: {0}")]
    Sqlite(rusqlite::Error),
    /// Any other error of PostgreSQL, without its detail, which would quote a row.
    #[error("PostgreSQL: {0}")]
    Postgres(String),
}
