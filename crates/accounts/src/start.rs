//! From a configuration to a service that runs, and to its end.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::{Config, ConfigError};
use crate::service::Service;
use crate::store::StoreError;
use crate::{clock, erasure, files, hourly, listener, routes, tls};

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
    /// The TLS library refuses what it was given.
    #[error("TLS: {0}")]
    Tls(String),
    /// A word of the command line.
    #[error("{0}")]
    Usage(&'static str),
    /// Standard input or output.
    #[error("standard input or output: {0}")]
    Stdio(io::Error),
    /// The system gives no randomness, or no thread.
    #[error("the system gives no randomness or no thread")]
    Randomness,
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
            Self::Store(_) | Self::Tls(_) | Self::Randomness => 70,
        }
    }
}

/// Binds the listener of a configuration.
///
/// # Errors
/// The system's.
pub async fn bind(config: &Config) -> Result<TcpListener, StartError> {
    TcpListener::bind(config.listen)
        .await
        .map_err(StartError::Listen)
}

/// Serves until `stop` is ready; then requests under way get a few seconds to end.
///
/// # Errors
/// Before the first connection is taken: what is missing, or does not fit.
pub async fn serve(
    config: &Config,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> Result<(), StartError> {
    files::make_private_directory(&config.data)
        .map_err(|error| StartError::file(config.data.clone(), error))?;
    let service = Arc::new(Service::open(config, clock::unix_now()).await?);
    let tls = tls::acceptor(&service.authority, &config.names(), clock::unix_now())?;
    let connections = *config.limits.connections.get_ref();
    let router = routes::router(service.clone());
    let address = listener.local_addr().map_err(StartError::Listen)?;
    let address = config.address().unwrap_or(address);
    tokio::select! {
        // These never end of themselves.
        () = hourly::run(&service) => {}
        () = erasure::run(&service) => {}
        ended = service.replicas.run(address) => return ended,
        () = listener::run(listener, tls, router, &service, connections, stop) => {}
    }
    Ok(())
}
