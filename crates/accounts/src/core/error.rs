//! Errors that several parts of the program make or read.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::core::password;
use crate::core::random::NoRandomness;

/// Why the program cannot do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or a directory.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The listener.
    #[error("the listener: {0}")]
    Listen(io::Error),
    /// A certificate cannot be made, or the TLS library refuses what it was given.
    #[error("TLS: {0}")]
    Tls(String),
    /// A word of the command line.
    #[error("{0}")]
    Usage(&'static str),
    /// Standard input or output.
    #[error("standard input or output: {0}")]
    Stdio(io::Error),
    /// The system gives no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A password cannot be hashed.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// The system gives no thread.
    #[error("the system gives no thread: {0}")]
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

/// Why the store did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Written by a program that knows another schema.
    #[error("the database has schema version {found}, and this program knows version {known}")]
    UnknownVersion {
        /// That of the database.
        found: i64,
        /// This program's.
        known: i64,
    },
    /// The database would keep a history of rows; what to do about it.
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
    /// The thread that asked SQLite has ended without an answer.
    #[error("the database task failed")]
    Task,
    /// Anything else of SQLite's. Its text may name a column, never a value.
    #[error("the database: {0}")]
    Sqlite(rusqlite::Error),
    /// Anything else of PostgreSQL's, without the detail, which would quote a row.
    #[error("PostgreSQL: {0}")]
    Postgres(String),
}
