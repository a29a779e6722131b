//! Bodies: JSON, whole, in time and within the limit.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::refusal::Refusal;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the body as a `T`; `shape` tells a client that got it wrong what it is. The parser's
/// own words are not passed on: they quote the body, which may hold a password.
pub(super) async fn read<T: DeserializeOwned>(
    request: Request,
    shape: &'static str,
) -> Result<T, Refusal> {
    let bytes = timeout(PATIENCE, Bytes::from_request(request, &())).await;
    let bytes = bytes.map_err(|_| Refusal::BodyTooSlow)?;
    let bytes = bytes.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::BodyTooLarge,
        _ => Refusal::BodyMalformed(shape),
    })?;
    serde_json::from_slice(&bytes).map_err(|_| Refusal::BodyMalformed(shape))
}
