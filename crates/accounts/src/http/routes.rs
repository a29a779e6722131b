//! The API: what there is, as one table. `openapi.json` says the same to clients; a test holds
//! one against the other.

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

/// A path, the methods it takes, and who answers.
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

/// What processes of one service say to each other; `openapi.json` is for others.
fn between_processes() -> [Entry; 2] {
    [
        (DEVICES_PATH, "POST", post(replicas::devices)),
        (TICKET_KEYS_PATH, "POST", post(replicas::ticket_keys)),
    ]
}

/// The tables, and what is said of everything that is not in it.
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
