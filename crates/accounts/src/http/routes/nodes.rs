//! `POST /v1/nodes`: a node that has just booted has its TLS key certified.

use axum::extract::{Request, State};
use axum::{Extension, Json};
use mayfly_wire::admission::{AdmissionRequest, AdmissionResponse};

use super::{Shared, body};
use crate::core::clock;
use crate::http::listener::Peer;
use crate::http::refusal::Refusal;
use crate::keys::nodes;

const SHAPE: &str = "POST takes {node, secret, csr}";

/// Certifies the key of a node that shows the secret for its name.
pub(super) async fn admit(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Json<AdmissionResponse>, Refusal> {
    let admission: AdmissionRequest = body::read(request, SHAPE).await?;
    service.take_failure(peer.network)?;
    let known = service.store.node(admission.node.clone()).await?;
    let known = known.map(|node| node.secret);
    let registration = nodes::registration(known.as_ref(), &admission.secret);
    let registration = registration.ok_or(Refusal::NodeUnknown)?;
    service.failures.give_back(peer.network);
    let certified = service.authority.certify(
        &admission.node,
        registration,
        &admission.csr,
        clock::unix_now(),
    )?;
    Ok(Json(certified))
}
