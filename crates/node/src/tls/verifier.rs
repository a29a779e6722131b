//! Verifies the account service: by its name, the operator's authority, and the time.
//!
//! A machine's clock may be years fast, and then every certificate has expired. So until the
//! account service has set the clock, a certificate that has expired is accepted as of its end, if
//! that is not before [`EARLIEST`]. This trusts a fast clock no more than a slow one, by which the
//! certificate would not have expired: either way, the node trusts the holders of keys that the
//! authority certified for a time after this program was written.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};

use crate::clock::{Clock, EARLIEST};

/// Verifies certificates of the account service.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Checks name, chain and time (RFC 5280).
    pub webpki: Arc<WebPkiServerVerifier>,
    /// The node's clock.
    pub clock: Clock,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |at| {
            self.webpki
                .verify_server_cert(end_entity, intermediates, name, ocsp, at)
        };
        match verify(now) {
            Err(Error::InvalidCertificate(CertificateError::ExpiredContext {
                not_after, ..
            })) if !self.clock.was_set() && not_after.as_secs() >= EARLIEST => verify(not_after),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
    use rustls::RootCertStore;
    use rustls::crypto::aws_lc_rs;

    use super::*;

    /// A service whose certificate ended with a year's first day, and who trusts it.
    struct Scene {
        certificate: CertificateDer<'static>,
        verifier: Verifier,
    }

    impl Scene {
        fn until(year: i32) -> Self {
            let (key, own) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let authority = params.self_signed(&key).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).unwrap();
            let mut leaf = CertificateParams::new(["accounts.example".to_owned()]).unwrap();
            leaf.not_before = date_time_ymd(2020, 1, 1);
            leaf.not_after = date_time_ymd(year, 1, 1);
            let certificate = leaf.signed_by(&own, &Issuer::from_params(&params, &key));
            let provider = Arc::new(aws_lc_rs::default_provider());
            let webpki = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
            Self {
                certificate: certificate.unwrap().into(),
                verifier: Verifier {
                    webpki: webpki.build().unwrap(),
                    clock: Clock::from_system(),
                },
            }
        }

        fn is_good(&self, name: &str, year: u64) -> bool {
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(
                (year - 1970) * 31_557_600,
            ));
            let name = ServerName::try_from(name.to_owned()).unwrap();
            self.verifier
                .verify_server_cert(&self.certificate, &[], &name, &[], now)
                .is_ok()
        }
    }

    #[test]
    fn a_fast_clock_is_believed_only_once_the_service_has_told_the_time() {
        let scene = Scene::until(2028);
        assert!(scene.is_good("accounts.example", 2027));
        assert!(scene.is_good("accounts.example", 2037));
        assert!(!scene.is_good("another.example", 2037));
        scene.verifier.clock.set(EARLIEST);
        assert!(scene.is_good("accounts.example", 2027));
        assert!(!scene.is_good("accounts.example", 2037));
    }

    #[test]
    fn what_ended_before_this_program_was_written_is_good_by_no_clock() {
        assert!(!Scene::until(2026).is_good("accounts.example", 2037));
    }

    #[test]
    fn another_authoritys_is_good_by_no_clock() {
        let (mut scene, other) = (Scene::until(2028), Scene::until(2028));
        scene.certificate = other.certificate;
        assert!(!scene.is_good("accounts.example", 2037));
    }
}
