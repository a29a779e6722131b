//! Admission: the account service certifies the TLS key of a node that has just booted.
//! `POST /v1/nodes`.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Body of `POST /v1/nodes`.
#[derive(Clone, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
pub struct AdmissionRequest {
    /// The node's name, for the certificate.
    pub node: String,
    /// The secret that proves the name. The operator put it into the node's bundle.
    pub secret: String,
    /// Certificate signing request, in PEM (RFC 2986). The names in it are ignored.
    pub csr: String,
}

/// Answer to `POST /v1/nodes`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdmissionResponse {
    /// The node's certificate and any intermediate certificates, in PEM.
    pub certificate: String,
    /// The CA certificate, in PEM.
    pub ca: String,
    /// End of the certificate's validity, in seconds since 1970.
    pub expires: u64,
}
