//! The settings bundle: one text file that an operator signs and a node checks.
//!
//! ```text
//! mayfly-bundle-v1
//! <Ed25519 signature, base64>
//! <TOML>
//! ```
//!
//! The signature is over the first line, its line feed, and all of the TOML: so no
//! signature made for another purpose fits. Making and checking it is left to the
//! programs that hold keys.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// First line of a bundle.
pub const HEADER: &str = "mayfly-bundle-v1";

/// The largest bundle that a node reads, in bytes.
pub const MAX_BUNDLE: usize = 256 * 1024;

/// A bundle in its parts; nothing has been verified yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Ed25519 signature (RFC 8032) over [`signed_bytes`].
    pub signature: [u8; 64],
    /// The settings.
    pub toml: String,
}

/// Why a file is not a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleError {
    /// Longer than [`MAX_BUNDLE`].
    TooLong,
    /// Not UTF-8.
    NotText,
    /// The first line is not [`HEADER`].
    NoHeader,
    /// The second line is not 64 bytes of base64.
    NoSignature,
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the bundle is longer than 256 KiB",
            Self::NotText => "the bundle is not UTF-8 text",
            Self::NoHeader => "the bundle's first line is not mayfly-bundle-v1",
            Self::NoSignature => "the bundle's second line is not a signature",
        })
    }
}

impl std::error::Error for BundleError {}

/// What the signature is over.
pub fn signed_bytes(toml: &str) -> Vec<u8> {
    format!("{HEADER}\n{toml}").into_bytes()
}

impl Bundle {
    /// Takes a file apart.
    ///
    /// # Errors
    /// A file that has not the three parts, or is over [`MAX_BUNDLE`].
    pub fn parse(file: &[u8]) -> Result<Self, BundleError> {
        if file.len() > MAX_BUNDLE {
            return Err(BundleError::TooLong);
        }
        let text = std::str::from_utf8(file).map_err(|_| BundleError::NotText)?;
        let rest = text
            .strip_prefix(HEADER)
            .and_then(|rest| rest.strip_prefix('\n'))
            .ok_or(BundleError::NoHeader)?;
        let (signature, toml) = rest.split_once('\n').ok_or(BundleError::NoSignature)?;
        let signature = STANDARD
            .decode(signature)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(BundleError::NoSignature)?;
        Ok(Self {
            signature,
            toml: toml.to_owned(),
        })
    }
}

impl fmt::Display for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let signature = STANDARD.encode(self.signature);
        write!(f, "{HEADER}\n{signature}\n{}", self.toml)
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bundle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_survives_the_wire() {
        let bundle = Bundle {
            signature: [5; 64],
            toml: "a = 1\n\nb = 2\n".to_owned(),
        };
        let file = bundle.to_string();
        assert!(Bundle::parse(file.as_bytes()) == Ok(bundle));
    }

    #[test]
    fn what_is_not_a_bundle_is_named() {
        assert_eq!(Bundle::parse(b"a = 1"), Err(BundleError::NoHeader));
        assert_eq!(Bundle::parse(b"\xff"), Err(BundleError::NotText));
        let unsigned = b"mayfly-bundle-v1\na = 1\n";
        assert_eq!(Bundle::parse(unsigned), Err(BundleError::NoSignature));
        assert_eq!(
            Bundle::parse(&vec![b' '; MAX_BUNDLE + 1]),
            Err(BundleError::TooLong)
        );
    }
}
