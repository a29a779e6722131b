//! TLS 1.3 only, with a hybrid post-quantum key exchange where the client offers it.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::core::error::StartError;
use crate::keys::authority::{Authority, registration};
use crate::keys::nodes::Registration;

/// An acceptor with a fresh certificate of the authority. Clients may show a certificate, too.
/// Sessions cannot be resumed, so that nothing of them is kept.
///
/// # Errors
/// [`StartError::Tls`]: a name is invalid, or the library refuses.
pub(crate) fn acceptor(
    authority: &Authority,
    names: &[String],
    now: u64,
) -> Result<TlsAcceptor, StartError> {
    let (certificate, key) = authority.server(names, now).map_err(refused)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).map_err(refused)?;
    let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(refused)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .map_err(refused)?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A connector to other processes of this service, which shows a certificate of this process.
///
/// # Errors
/// [`StartError::Tls`]: the library refuses.
pub(crate) fn connector(authority: &Authority, now: u64) -> Result<TlsConnector, StartError> {
    let (certificate, key) = authority.replica(now).map_err(refused)?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).map_err(refused)?;
    let mut config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&TLS13])
        .map_err(refused)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(refused)?;
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn refused(error: impl std::fmt::Display) -> StartError {
    StartError::Tls(error.to_string())
}

/// The name and the registration in a certificate that a client shows.
#[derive(Clone)]
pub(crate) struct PeerCertificate {
    /// The name: a node's, or the one that all processes of this service share.
    pub(crate) name: Arc<str>,
    /// The registration under which a node's certificate was issued. The certificates of this
    /// service's own processes carry none.
    pub(crate) registration: Option<Registration>,
}

/// Reads a certificate that the handshake has verified.
pub(crate) fn read_certificate(certificate: &CertificateDer<'_>) -> Option<PeerCertificate> {
    let certificate = webpki::EndEntityCert::try_from(certificate).ok()?;
    Some(PeerCertificate {
        name: certificate.valid_dns_names().next()?.into(),
        registration: registration(certificate.serial()),
    })
}
