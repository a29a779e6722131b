//! The way to the account service: numeric addresses, TLS 1.3, one authority.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::settings::TlsName;
use crate::tls::TlsError;

/// Where the account service is and how it is spoken to.
pub struct Service {
    /// Where its processes are.
    pub addresses: Vec<SocketAddr>,
    /// Which of them is asked.
    pub turn: AtomicUsize,
    /// The name in its certificate.
    pub name: TlsName,
    /// Trust, and the node's own certificate.
    pub tls: Arc<ClientConfig>,
}

/// Why the account service is out of reach.
#[derive(Debug, thiserror::Error)]
pub enum Away {
    /// No connection.
    #[error("no connection")]
    Connection,
    /// A connection, and a certificate that is not valid at the time that our clock shows.
    #[error("its certificate is not valid by this clock")]
    Clock,
    /// It answered something else than was asked.
    #[error("it did not answer as expected")]
    Answer,
    /// The node's own key or certificate.
    #[error("{0}")]
    Tls(#[from] TlsError),
}

impl Service {
    /// Opens a TLS connection.
    ///
    /// # Errors
    /// `Connection` or `Clock`.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, Away> {
        let stream = TcpStream::connect(self.address())
            .await
            .map_err(|_| Away::Connection)?;
        let _ = stream.set_nodelay(true);
        let connector = TlsConnector::from(self.tls.clone());
        let connected = connector.connect(self.name.0.clone(), stream).await;
        connected.map_err(|error| Away::of(&error))
    }

    /// The process that is asked.
    fn address(&self) -> SocketAddr {
        let turn = self.turn.load(Ordering::Relaxed);
        // The settings name at least one.
        let address = self.addresses.get(turn % self.addresses.len().max(1));
        *address.unwrap_or(&SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// It did not answer as it should: the next one is asked from now on.
    pub fn pass_on(&self) {
        self.turn.fetch_add(1, Ordering::Relaxed);
    }

    /// Name and port, as a `Host` header has them.
    pub fn host(&self) -> String {
        format!("{}:{}", self.name.0.to_str(), self.address().port())
    }
}

impl Away {
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
