//! TLS 1.3, with hybrid post-quantum key exchange where the other end offers it. Nothing outlives a
//! connection: there are no tickets, no session storage and no early data.

mod verifier;

use std::sync::{Arc, PoisonError, RwLock};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::client::{ResolvesClientCert, Resumption, VerifierBuilderError, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};

use crate::clock::Clock;
use crate::settings::{Authority, NodeName};
use verifier::Verifier;

/// Failures with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The TLS library refused.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
    /// The authority's certificates cannot certify anything.
    #[error("TLS: {0}")]
    Authority(#[from] VerifierBuilderError),
    /// The TLS key or its signing request could not be made.
    #[error("TLS key: {0}")]
    Key(#[from] rcgen::Error),
    /// The account service's answer holds no certificate that can be used.
    #[error("no certificate in the account service's answer")]
    NoCertificate,
}

/// The node's TLS key, which is made in RAM, and its certificate once there is one.
#[derive(Debug)]
pub(crate) struct Identity {
    provider: Arc<CryptoProvider>,
    key: KeyPair,
    certified: RwLock<Option<Arc<CertifiedKey>>>,
}

impl Identity {
    /// Makes the key.
    ///
    /// # Errors
    /// `Key` if the system has no randomness.
    pub(crate) fn generate() -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            key: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
            certified: RwLock::new(None),
        }))
    }

    /// A certificate signing request for the key, in PEM (RFC 2986).
    ///
    /// # Errors
    /// `Key` if the request could not be made or signed.
    pub(crate) fn signing_request(&self, name: &NodeName) -> Result<String, TlsError> {
        let params = CertificateParams::new([name.as_str().to_owned()])?;
        Ok(params.serialize_request(&self.key)?.pem()?)
    }

    /// Takes the certificate with its chain to the authority, in PEM. Open connections keep the
    /// certificate that they began with.
    ///
    /// # Errors
    /// `NoCertificate` if `pem` holds none, `Rustls` if it is not for our key.
    pub(crate) fn certify(&self, pem: &str) -> Result<(), TlsError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|_| TlsError::NoCertificate)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.serialize_der()));
        let key = self.provider.key_provider.load_private_key(key)?;
        let certified = CertifiedKey::new(chain, key);
        certified
            .end_entity_cert()
            .map_err(|_| TlsError::NoCertificate)?;
        certified.keys_match()?;
        *self
            .certified
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(certified));
        Ok(())
    }

    /// Whether there is a certificate.
    pub(crate) fn is_certified(&self) -> bool {
        self.current().is_some()
    }

    fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.certified
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.current()
    }

    fn has_certs(&self) -> bool {
        self.is_certified()
    }
}

/// The configuration for the clients' connections.
///
/// # Errors
/// `Rustls` if the provider lacks TLS 1.3.
pub(crate) fn server(
    identity: Arc<Identity>,
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = identity.provider.clone();
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(identity);
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The configuration for connections to the account service. The node shows its certificate, once
/// there is one.
///
/// # Errors
/// `Rustls` or `Authority` if a certificate of the authority cannot be used.
pub(crate) fn client(
    identity: Arc<Identity>,
    authority: &Authority,
    clock: &Clock,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in &authority.0 {
        roots.add(certificate.clone())?;
    }
    let provider = identity.provider.clone();
    let verifier = Arc::new(Verifier {
        webpki: WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()?,
        clock: clock.clone(),
    });
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(identity);
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
