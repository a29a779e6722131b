//! The API: what there is, as one table.

mod accounts;
mod body;
mod credentials;
mod nodes;
mod stream;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use mayfly_wire::MAX_BODY;

use crate::refusal::Refusal;
use crate::service::Service;

type Shared = State<Arc<Service>>;

/// Every path, its method, and who answers.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let not_get = || async { Refusal::NoSuchMethod("GET") };
    let not_post = || async { Refusal::NoSuchMethod("POST") };
    Router::new()
        .route("/v1/accounts", post(accounts::sign_up).fallback(not_post))
        .route("/v1/account", get(accounts::copy).fallback(not_get))
        .route("/v1/tokens", post(tokens::issue).fallback(not_post))
        .route("/v1/nodes", post(nodes::admit).fallback(not_post))
        .route("/v1/counter", get(stream::upgrade).fallback(not_get))
        .fallback(|| async { Refusal::NoSuchRoute })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(service)
}
