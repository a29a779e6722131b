//! `GET /v1/openapi.json`: the description of this API, in OpenAPI 3.1.

use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;

const DOCUMENT: &str = include_str!("../../../openapi.json");

/// The document, unchanged from the source tree.
pub(super) async fn document() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

#[cfg(test)]
mod tests;
