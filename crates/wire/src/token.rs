//! The token: what the account service hands a client, and a node verifies offline.

use serde::{Deserialize, Serialize};

use crate::Ticket;

/// The claims of the token, a JWT (RFC 7519) signed with EdDSA and nothing else.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// What the node shows the account service in place of the account.
    pub ticket: Ticket,
    /// End of validity, a whole hour, in seconds since 1970 (RFC 7519 section 4.1.4).
    pub exp: u64,
    /// The account wants an inner IPv6 address.
    pub ipv6: bool,
    /// The account's traffic leaves by the streaming egress address.
    pub streaming: bool,
    /// The account has a public IPv4 address of its own.
    pub public_ipv4: bool,
    /// The account may enter at one node and leave at another.
    pub multihop: bool,
}

/// Body of `POST /v1/tokens`; user name and password come by HTTP authentication.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Ask although four devices are connected: a renewal, or a device that moves.
    #[serde(default)]
    pub anyway: bool,
    /// Version of the asking client, as the account record keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// Version of the browser extension that asks, or that the client works with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extension_version: Option<String>,
}

/// Answer to `POST /v1/tokens`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenResponse {
    /// The signed token, in JWS compact form.
    pub token: String,
    /// The same as the claim `exp`.
    pub expires: u64,
    /// Certificates, in PEM, of the authority that vouches for nodes.
    pub ca: String,
}
