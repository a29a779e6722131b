//! The API as one table. `openapi.json` describes the same to clients, and a test compares the two.

mod accounts;
mod body;
mod credentials;
mod nodes;
mod openapi;
mod payments;
mod replicas;
mod stream;
mod tokens;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{MethodRouter, get, post};
use mayfly_wire::MAX_BODY;

use crate::counter::replicas::{DEVICES_PATH, TICKET_KEYS_PATH};
use crate::http::refusal::Refusal;
use crate::service::Service;

type Shared = State<Arc<Service>>;

/// A path, its methods, and its handlers.
type Entry = (&'static str, &'static str, MethodRouter<Arc<Service>>);

fn table() -> [Entry; 7] {
    [
        ("/v1/accounts", "POST", post(accounts::sign_up)),
        (
            "/v1/account",
            "DELETE, GET, HEAD, PATCH",
            get(accounts::copy)
                .patch(accounts::rectify)
                .delete(accounts::erase),
        ),
        ("/v1/tokens", "POST", post(tokens::issue)),
        ("/v1/payments", "POST", post(payments::take)),
        ("/v1/nodes", "POST", post(nodes::admit)),
        ("/v1/counter", "GET, HEAD", get(stream::upgrade)),
        ("/v1/openapi.json", "GET, HEAD", get(openapi::document)),
    ]
}

/// The paths between processes of one service, which `openapi.json` does not describe.
fn between_processes() -> [Entry; 2] {
    [
        (DEVICES_PATH, "POST", post(replicas::devices)),
        (TICKET_KEYS_PATH, "POST", post(replicas::ticket_keys)),
    ]
}

/// The router for both tables. Every other path or method is refused.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let mut router = Router::new();
    for (path, methods, answer) in table().into_iter().chain(between_processes()) {
        let refuse = move || async move { Refusal::NoSuchMethod(methods) };
        router = router.route(path, answer.fallback(refuse));
    }
    router
        .fallback(|| async { Refusal::NoSuchRoute })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(service)
}
