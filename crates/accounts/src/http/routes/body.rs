//! Bodies: JSON, complete, in time and within the limit.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::http::refusal::Refusal;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the body as a `T`. `shape` tells a client with a malformed body what was expected. The
/// message of the parser is not passed on: it quotes the body, which may hold a password.
pub(super) async fn read<T: DeserializeOwned>(
    request: Request,
    shape: &'static str,
) -> Result<T, Refusal> {
    if !is_json(request.headers()) {
        return Err(Refusal::MediaTypeWrong);
    }
    let bytes = timeout(PATIENCE, Bytes::from_request(request, &())).await;
    let bytes = bytes.map_err(|_| Refusal::BodyTooSlow)?;
    let bytes = bytes.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Refusal::BodyTooLarge,
        _ => Refusal::BodyMalformed(shape),
    })?;
    // Only an object: the parser would also accept its values in an array.
    let object = bytes.trim_ascii_start().starts_with(b"{").then_some(bytes);
    object
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or(Refusal::BodyMalformed(shape))
}

fn is_json(headers: &HeaderMap) -> bool {
    let named = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    // Parameters may follow, but JSON is always UTF-8 (RFC 8259 section 8.1).
    let essence = named.and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}
