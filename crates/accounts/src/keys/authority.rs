//! The certificate authority that vouches for this service and for nodes.

use std::io;
use std::path::Path;

use aws_lc_rs::hmac;
use mayfly_wire::admission::AdmissionResponse;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::core::clock::DAY;
use crate::core::error::StartError;
use crate::core::files;
use crate::core::random::{self, NoRandomness};
use crate::keys::nodes::Registration;

/// How long a node's certificate lasts, in seconds. A node gets a new one at each boot, and each
/// time that two thirds of one have passed.
///
/// Customers check the chain and the name, and not whether the node is still registered: nothing
/// tells them. So whoever had a node's secret can pass for it until its last certificate ends. In
/// turn a node to which this service is out of reach for eight hours may have none, and no customer
/// can enrol there until the service is back.
const NODE_VALIDITY: u64 = DAY;

/// How long the service's own certificate lasts, in seconds. A new one is made at each start.
const SERVER_VALIDITY: u64 = 397 * DAY;

const CA_VALIDITY: u64 = 20 * 365 * DAY;

/// The name in the certificate of a process of this service. It cannot be a node's, whose name
/// is a DNS name.
pub(crate) const REPLICA: &str = "_replica";

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";

/// Why a node's key was not certified.
#[derive(Debug, thiserror::Error)]
pub enum CertifyError {
    /// The signing request does not parse, or its signature is wrong.
    #[error("the certificate signing request is not valid")]
    Request,
    /// There are no random bytes for the serial number.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The certificate cannot be made.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// The authority: its certificate, and the key that signs other certificates.
pub struct Authority {
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    salt: hmac::Key,
}

impl Authority {
    /// Makes an authority: `ca.pem`, and `ca.key` with mode 0600.
    ///
    /// # Errors
    /// `AlreadyExists` if there is an authority, or a file cannot be made.
    pub(crate) fn init(directory: &Path, now: u64) -> io::Result<()> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
        let mut params = params("Mayfly authority", now + CA_VALIDITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        files::create_private(
            &directory.join(KEY),
            Zeroizing::new(key.serialize_pem()).as_bytes(),
        )?;
        files::create_private(&directory.join(CERTIFICATE), certificate.pem().as_bytes())
    }

    /// Reads what [`Authority::init`] made.
    ///
    /// # Errors
    /// A file is missing, or does not hold what it should.
    pub fn load(directory: &Path) -> Result<Self, StartError> {
        let (certificate, key) = (directory.join(CERTIFICATE), directory.join(KEY));
        let pem = std::fs::read_to_string(&certificate)
            .map_err(|error| StartError::file(certificate.clone(), error))?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        let der = der.map_err(|_| invalid(&certificate, "expected a certificate in PEM"))?;
        let secret =
            files::read_private(&key).map_err(|error| StartError::file(key.clone(), error))?;
        let secret = std::str::from_utf8(&secret)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok());
        let secret = secret.ok_or_else(|| invalid(&key, "expected a private key in PEM"))?;
        let salt = salt(&secret);
        let issuer = Issuer::from_ca_cert_der(&der, secret);
        let issuer =
            issuer.map_err(|_| invalid(&certificate, "expected an authority's certificate"))?;
        Ok(Self {
            pem,
            der,
            issuer,
            salt,
        })
    }

    /// The salt with which the numbers of payments are hashed. Every process of a service derives
    /// the same one from the authority's key, so it needs no file.
    pub(crate) fn salt(&self) -> &hmac::Key {
        &self.salt
    }

    /// The authority's certificate, in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// A certificate for this service, with its key, for the given DNS names and addresses.
    ///
    /// # Errors
    /// A name is neither a DNS name nor an address, or the certificate cannot be made.
    pub(crate) fn server(
        &self,
        names: &[String],
        now: u64,
    ) -> io::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
        let names = CertificateParams::new(names).map_err(io::Error::other)?;
        let mut params = params("Mayfly accounts", now + SERVER_VALIDITY);
        params.subject_alt_names = names.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(io::Error::other)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((certificate.der().clone(), key.into()))
    }

    /// A certificate, with its key, that a process of this service shows to another.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub(crate) fn replica(
        &self,
        now: u64,
    ) -> io::Result<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(io::Error::other)?;
        let name = REPLICA.to_owned().try_into();
        let mut params = params("Mayfly accounts", now + SERVER_VALIDITY);
        params.subject_alt_names = vec![SanType::DnsName(name.map_err(io::Error::other)?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(io::Error::other)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((certificate.der().clone(), key.into()))
    }

    /// Certifies the key of a signing request, only for the name `node` and with the mark of its
    /// registration. The names in the request are ignored.
    ///
    /// # Errors
    /// [`CertifyError`].
    pub fn certify(
        &self,
        node: &str,
        registration: Registration,
        csr: &str,
        now: u64,
    ) -> Result<AdmissionResponse, CertifyError> {
        // The parser checks the signature, which proves that the requester holds the key (RFC 2986
        // section 3).
        let request =
            CertificateSigningRequestParams::from_pem(csr).map_err(|_| CertifyError::Request)?;
        let name = node.to_owned().try_into()?;
        let expires = now + NODE_VALIDITY;
        let mut params = params(node, expires);
        params.serial_number = Some(serial(registration)?);
        params.subject_alt_names = vec![SanType::DnsName(name)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(AdmissionResponse {
            certificate: certificate.pem(),
            ca: self.pem.clone(),
            expires,
        })
    }
}

/// A positive and unique serial number (RFC 5280 section 4.1.2.2): 1, the registration, 8 random
/// bytes.
fn serial(registration: Registration) -> Result<SerialNumber, NoRandomness> {
    let random: [u8; 8] = random::bytes()?;
    Ok([&[1], registration.0.as_slice(), &random].concat().into())
}

/// The registration in the serial number of a certificate that [`Authority::certify`] made.
pub(crate) fn registration(serial: &[u8]) -> Option<Registration> {
    let (mark, _) = serial.strip_prefix(&[1])?.split_first_chunk()?;
    Some(Registration(*mark))
}

/// One step of HKDF (RFC 5869 section 2.3). The key is random enough to need no more.
fn salt(key: &KeyPair) -> hmac::Key {
    let key = Zeroizing::new(key.serialize_der());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let salt = hmac::sign(&key, b"mayfly: the salt of payments\x01");
    hmac::Key::new(hmac::HMAC_SHA256, salt.as_ref())
}

fn invalid(path: &Path, expected: &'static str) -> StartError {
    StartError::file(
        path.to_owned(),
        io::Error::new(io::ErrorKind::InvalidData, expected),
    )
}

fn params(common_name: &str, not_after: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    // Far in the past: a node that has just booted checks it by a clock that may still be at the
    // build date of its image.
    params.not_before = date_time_ymd(2020, 1, 1);
    let end = i64::try_from(not_after)
        .ok()
        .and_then(|end| OffsetDateTime::from_unix_timestamp(end).ok());
    params.not_after = end.unwrap_or(params.not_after);
    params.use_authority_key_identifier_extension = true;
    params
}
