//! The link to the account service: numeric addresses, TLS 1.3, one authority.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::settings::TlsName;
use crate::tls::TlsError;

/// Where the account service is, and how to connect to it.
pub(crate) struct AccountsLink {
    /// The addresses of its processes.
    addresses: Vec<SocketAddr>,
    /// Counts the changes of address. It selects the address in use.
    turn: AtomicUsize,
    /// The name in its certificate.
    name: TlsName,
    /// The authority, and the node's own certificate.
    tls: Arc<ClientConfig>,
}

/// Why a request to the account service failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    /// There is no connection.
    #[error("no connection")]
    Connection,
    /// There was a connection, but the service's certificate is not valid by the node's clock.
    #[error("its certificate is not valid by this clock")]
    Clock,
    /// The answer is not what was expected.
    #[error("it did not answer as expected")]
    Answer,
    /// The node's own key or certificate.
    #[error("{0}")]
    Tls(#[from] TlsError),
}

impl AccountsLink {
    /// A link to the process at the first of `addresses`. The settings name at least one.
    pub(crate) fn new(addresses: Vec<SocketAddr>, name: TlsName, tls: Arc<ClientConfig>) -> Self {
        Self {
            addresses,
            turn: AtomicUsize::new(0),
            name,
            tls,
        }
    }

    /// Opens a TLS connection.
    ///
    /// # Errors
    /// `Clock` if the certificate is not valid by the node's clock, otherwise `Connection`.
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>, ServiceError> {
        let stream = TcpStream::connect(self.address())
            .await
            .map_err(|_| ServiceError::Connection)?;
        let _ = stream.set_nodelay(true);
        let connector = TlsConnector::from(self.tls.clone());
        let connected = connector.connect(self.name.0.clone(), stream).await;
        connected.map_err(|error| ServiceError::of(&error))
    }

    /// The address in use did not answer as it should. Uses the next one from now on.
    pub(crate) fn try_next_address(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Name and port, for a `Host` header.
    pub(crate) fn host(&self) -> String {
        format!("{}:{}", self.name.0.to_str(), self.address().port())
    }

    fn address(&self) -> SocketAddr {
        let turn = self.turn.load(Ordering::Relaxed);
        let address = self.addresses.get(turn % self.addresses.len().max(1));
        *address.unwrap_or(&SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

impl ServiceError {
    fn of(error: &std::io::Error) -> Self {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )) => Self::Clock,
            _ => Self::Connection,
        }
    }
}
