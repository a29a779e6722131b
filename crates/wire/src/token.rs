//! The token: the account service gives it to a client, and a node verifies it offline.

use serde::{Deserialize, Serialize};

use crate::Ticket;

/// The claims of the token, a JWT (RFC 7519) that is always signed with EdDSA.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Stands for the account. The node sends it to the account service.
    pub ticket: Ticket,
    /// End of validity, a whole hour, in seconds since 1970 (RFC 7519 section 4.1.4).
    pub exp: u64,
    /// The account wants an inner IPv6 address.
    pub ipv6: bool,
    /// The account's traffic leaves from the streaming egress address.
    pub streaming: bool,
    /// The account has a public IPv4 address of its own.
    pub public_ipv4: bool,
    /// The account may enter at one node and leave at another.
    pub multihop: bool,
}

/// Body of `POST /v1/tokens`. User name and password come by HTTP authentication.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Grant the token even if four devices are connected: for a renewal, or for a device that
    /// changes nodes.
    #[serde(default)]
    pub anyway: bool,
    /// Version of the client, for the account record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_version: Option<String>,
    /// Version of the browser extension that sends this, or that the client works with.
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
    /// The CA certificates of nodes, in PEM.
    pub ca: String,
}
