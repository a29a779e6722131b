//! Starts the service from a configuration, and runs it until it is stopped.

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::config::Config;
use crate::core::error::StartError;
use crate::core::{clock, files};
use crate::http::{listener, routes};
use crate::keys::tls;
use crate::service::Service;

/// Binds the listener of a configuration.
///
/// # Errors
/// [`StartError::Listen`].
pub async fn bind(config: &Config) -> Result<TcpListener, StartError> {
    TcpListener::bind(config.listen)
        .await
        .map_err(StartError::Listen)
}

/// Serves until `stop` is ready. Then open requests get a few seconds to end.
///
/// # Errors
/// As for [`Service::open`], before the first connection is taken. Later, a single process fails
/// if it cannot start the counter's thread.
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
        ended = service.run(address) => ended,
        () = listener::run(listener, tls, router, &service.salt, connections, stop) => Ok(()),
    }
}
