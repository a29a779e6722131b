//! The way to the account service: one numeric address, TLS 1.3, one authority.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::settings::TlsName;
use crate::tls::TlsError;

/// Where the account service is and how it is spoken to.
pub struct Service {
    /// Its numeric address.
    pub address: SocketAddr,
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
        let stream = TcpStream::connect(self.address)
            .await
            .map_err(|_| Away::Connection)?;
        let _ = stream.set_nodelay(true);
        let connector = TlsConnector::from(self.tls.clone());
        let connected = connector.connect(self.name.0.clone(), stream).await;
        connected.map_err(|error| Away::of(&error))
    }

    /// Name and port, as a `Host` header has them.
    pub fn host(&self) -> String {
        format!("{}:{}", self.name.0.to_str(), self.address.port())
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
