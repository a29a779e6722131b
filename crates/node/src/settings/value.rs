//! Values that have a shape of their own.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

/// Name of a node: a DNS name of at most 63 lower-case letters, digits, hyphens and dots.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct NodeName(String);

impl NodeName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let label_fits = |label: &str| {
            let inside = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            !label.is_empty()
                && label.bytes().all(inside)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 63 || !name.split('.').all(label_fits) {
            return Err("expected a DNS name in lower case, at most 63 letters, like node-1");
        }
        Ok(Self(name))
    }
}

/// Name of a network interface: 1 to 15 bytes without a slash or a space.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct InterfaceName(String);

impl InterfaceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits = |c: u8| c.is_ascii_graphic() && c != b'/';
        if name.is_empty() || name.len() > 15 || !name.bytes().all(fits) {
            return Err("expected the name of a network interface, like eth0");
        }
        Ok(Self(name))
    }
}

/// An Ed25519 public key (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenKey(pub [u8; 32]);

impl<'de> Deserialize<'de> for TokenKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text).ok();
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or_else(|| de::Error::custom("expected an Ed25519 public key, 32 bytes in base64"))
    }
}

/// The name that a TLS certificate must carry.
#[derive(Clone)]
pub struct TlsName(pub ServerName<'static>);

impl<'de> Deserialize<'de> for TlsName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ServerName::try_from(text)
            .map(Self)
            .map_err(|_| de::Error::custom("expected a DNS name, like accounts.example"))
    }
}

/// Certificates that are trusted to certify others.
#[derive(Clone)]
pub struct Authority(pub Vec<CertificateDer<'static>>);

impl<'de> Deserialize<'de> for Authority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match certificates {
            Ok(certificates) if !certificates.is_empty() => Ok(Self(certificates)),
            _ => Err(de::Error::custom("expected certificates in PEM")),
        }
    }
}

/// A secret text. It is zeroed when dropped.
pub struct Secret(pub Zeroizing<String>);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        if text.is_empty() {
            return Err(de::Error::custom(
                "expected the secret that `mayfly-accounts ca node` printed",
            ));
        }
        Ok(Self(text))
    }
}
