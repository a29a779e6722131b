//! Admission: a node that has just booted has its TLS key certified.
//! `POST /v1/nodes` at the account service.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Body of `POST /v1/nodes`. The secret comes with the node's bundle.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct AdmissionRequest {
    /// Name of the node, which the certificate will carry.
    pub node: String,
    /// What the operator gave this node to show.
    pub secret: String,
    /// Certificate signing request, in PEM (RFC 2986). Its names are not looked at.
    pub csr: String,
}

/// Answer to `POST /v1/nodes`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionResponse {
    /// The node's certificate and what stands between it and the authority, in PEM.
    pub certificate: String,
    /// The authority, in PEM.
    pub ca: String,
    /// End of the certificate's validity, in seconds since 1970.
    pub expires: u64,
}
