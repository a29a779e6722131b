//! Enrolment: a client sends a token and a public key, and a node answers with the values
//! of a stock wg-quick file. `POST /v1/peers`, over TLS 1.3.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::{PresharedKey, PublicKey};

/// Body of `POST /v1/peers`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The token, in JWS compact form.
    pub token: String,
    /// The client's WireGuard public key.
    pub public_key: PublicKey,
}

/// Answer to `POST /v1/peers`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolResponse {
    /// The node's WireGuard public key. The node made it in RAM when it booted.
    pub public_key: PublicKey,
    /// The node made it for this enrolment. It is also the bearer token to extend or end it.
    pub preshared_key: PresharedKey,
    /// The address and port at which the node receives WireGuard datagrams.
    pub endpoint: SocketAddr,
    /// The peer's inner addresses: one /32, and one /128 if the account wants IPv6.
    pub addresses: Vec<Cidr>,
    /// Always 0.0.0.0/0 and ::/0, so that no traffic bypasses the tunnel.
    pub allowed_ips: Vec<Cidr>,
    /// DNS resolvers, which the client reaches through the tunnel.
    pub dns: Vec<IpAddr>,
    /// Largest inner packet, in bytes.
    pub mtu: u16,
    /// Seconds between keepalives of the client.
    pub persistent_keepalive: u16,
    /// End of the enrolment, in seconds since 1970.
    pub expires: u64,
}

/// Body of `DELETE /v1/peers`. The peer's pre-shared key comes as the bearer token.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// The peer to forget.
    pub public_key: PublicKey,
}

/// A prefix, written `address/length`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// An address in the prefix.
    pub address: IpAddr,
    /// Bits of the prefix: 0 to 32, or 0 to 128.
    pub prefix: u8,
}

impl Cidr {
    /// The prefix of `prefix` bits around `address`. `None` if the address has fewer bits.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some(Self { address, prefix })
    }

    /// The prefix that holds only `address`.
    pub fn host(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Shows no address, since inner addresses belong to customers. [`fmt::Display`] shows it.
impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cidr")
    }
}

/// The text is not `address/length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CidrError;

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected a prefix, like 10.64.0.0/16 or fd00::/64")
    }
}

impl std::error::Error for CidrError {}

impl std::str::FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').ok_or(CidrError)?;
        let address = address.parse().map_err(|_| CidrError)?;
        let prefix = prefix.parse().map_err(|_| CidrError)?;
        Self::new(address, prefix).ok_or(CidrError)
    }
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cidr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_longer_than_its_family_is_refused() {
        assert!("10.0.0.1/33".parse::<Cidr>().is_err());
        assert!("fd00::/129".parse::<Cidr>().is_err());
        assert!("10.0.0.1".parse::<Cidr>().is_err());
        assert_eq!(
            "fd00::/64".parse::<Cidr>().unwrap().to_string(),
            "fd00::/64"
        );
    }
}
