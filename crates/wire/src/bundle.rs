//! The settings bundle: one text file that an operator signs and a node checks.
//!
//! ```text
//! mayfly-bundle-v1
//! <Ed25519 signature, base64>
//! <TOML>
//! ```
//!
//! The signature covers the first line, its line feed, and all of the TOML. So a
//! signature that was made for another purpose does not fit. The programs that hold the
//! keys make and check it.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// First line of a bundle.
pub const HEADER: &str = "mayfly-bundle-v1";

/// The largest bundle that a node reads, in bytes.
pub const MAX_BUNDLE: usize = 256 * 1024;

/// A bundle in its parts. The signature has not been verified yet.
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

/// The bytes that the signature covers.
pub fn signed_bytes(toml: &str) -> Vec<u8> {
    format!("{HEADER}\n{toml}").into_bytes()
}

impl Bundle {
    /// Splits a file into its parts.
    ///
    /// # Errors
    /// The [`BundleError`] that fits, if a part is missing or malformed, or the file is longer
    /// than [`MAX_BUNDLE`].
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

/// The part of the TOML that says which machines may use it. The rest is for the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Terms {
    /// Number of this version of the settings: higher than that of the version before.
    pub serial: u64,
    /// The machines that may be this node. An empty list means any machine.
    #[serde(default)]
    pub machines: Vec<Mac>,
}

/// Why a machine must refuse a signed bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It lists machines, and this one is not among them.
    OtherMachine,
    /// Its serial is lower than the lowest that the image accepts.
    TooOld,
}

impl Terms {
    /// Checks whether a machine with these Ethernet addresses may use the settings.
    ///
    /// # Errors
    /// [`Unfit::TooOld`] if the serial is below `least_serial`; otherwise
    /// [`Unfit::OtherMachine`] if machines are listed and none has an address in `own`.
    pub fn admit(&self, own: &[Mac], least_serial: u64) -> Result<(), Unfit> {
        if self.serial < least_serial {
            return Err(Unfit::TooOld);
        }
        if !self.machines.is_empty() && !self.machines.iter().any(|mac| own.contains(mac)) {
            return Err(Unfit::OtherMachine);
        }
        Ok(())
    }
}

/// An Ethernet address, written `52:54:00:12:34:56`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(pub [u8; 6]);

/// The text is not an Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoMac;

impl fmt::Display for NoMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected an Ethernet address like 52:54:00:12:34:56")
    }
}

impl std::error::Error for NoMac {}

impl FromStr for Mac {
    type Err = NoMac;

    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut parts = text.split(':');
        let mut mac = [0; 6];
        for byte in &mut mac {
            let part = parts.next().filter(|part| part.len() == 2).ok_or(NoMac)?;
            let is_hex = part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(part, 16)
                .ok()
                .filter(|_| is_hex)
                .ok_or(NoMac)?;
        }
        parts.next().is_none().then_some(Self(mac)).ok_or(NoMac)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
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

    #[test]
    fn a_bundle_is_for_the_machines_that_it_names() {
        let mac = |text: &str| text.parse::<Mac>().unwrap();
        let (ours, other) = (mac("52:54:00:12:34:56"), mac("52:54:00:12:34:57"));
        let terms = |machines| Terms {
            serial: 3,
            machines,
        };
        assert_eq!(terms(vec![]).admit(&[ours], 0), Ok(()));
        assert_eq!(terms(vec![other, ours]).admit(&[ours], 3), Ok(()));
        let refused = terms(vec![other]).admit(&[ours], 0);
        assert_eq!(refused, Err(Unfit::OtherMachine));
        assert_eq!(
            terms(vec![other]).admit(&[], 0),
            Err(Unfit::OtherMachine),
            "a machine without a NIC"
        );
    }

    #[test]
    fn a_bundle_older_than_the_least_is_refused() {
        let terms = Terms {
            serial: 3,
            machines: Vec::new(),
        };
        assert_eq!(terms.admit(&[], 4), Err(Unfit::TooOld));
        assert_eq!(terms.admit(&[], 3), Ok(()));
    }

    #[test]
    fn what_is_no_ethernet_address_is_refused() {
        assert_eq!(
            "0a:00:ff:FF:00:01".parse(),
            Ok(Mac([10, 0, 255, 255, 0, 1]))
        );
        for text in [
            "",
            "52:54:00:12:34",
            "52:54:00:12:34:56:78",
            "52-54-00-12-34-56",
            "5254:00:12:34:56",
            "+1:54:00:12:34:56",
            "gg:54:00:12:34:56",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NoMac), "{text}");
        }
    }
}
