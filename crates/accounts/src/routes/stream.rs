//! `GET /v1/counter`: a node's stream, a WebSocket (RFC 6455) of JSON text messages.
//!
//! It only carries frames: every rule is the counter's.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use mayfly_counter::CloseReason;
use mayfly_wire::counter::ServiceFrame;
use tokio::time::interval;

use super::Shared;
use crate::counter::{Said, Stream};
use crate::listener::Peer;
use crate::nodes::Registration;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::tls::Shown;

/// Bytes of a message; the longest frame, a report, has less than 200.
const MAX_FRAME: usize = 1024;

/// How often an open stream's certificate is looked at again.
const CHECK: Duration = Duration::from_secs(60);

/// Takes a stream of a node that showed a certificate of our authority, and is registered.
pub(super) async fn upgrade(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let node = peer.node.clone().ok_or(Refusal::CertificateMissing)?;
    check_registration(&service, &node).await?;
    let upgrade = upgrade.map_err(|_| Refusal::NoWebSocket)?;
    let upgrade = upgrade
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(|socket| carry(socket, service, node, peer)))
}

/// A certificate counts for as long as the registration under which it was issued.
async fn check_registration(service: &Service, node: &Shown) -> Result<(), Refusal> {
    let known = service.store.node(node.name.to_string()).await?;
    let known = known.as_ref().map(Registration::of);
    let same = known.is_some() && known == node.registration;
    same.then_some(()).ok_or(Refusal::CertificateRevoked)
}

async fn carry(mut socket: WebSocket, service: Arc<Service>, node: Shown, mut peer: Peer) {
    let Some(mut stream) = service.counter.accept(node.name.clone()).await else {
        return;
    };
    let mut check = interval(CHECK);
    loop {
        let alive = tokio::select! {
            message = socket.recv() => hear(message, &stream, &mut socket).await,
            said = stream.said() => say(said, &mut socket).await,
            _ = check.tick() => still_registered(&service, &node, &mut socket).await,
            () = peer.stopping() => {
                close(&mut socket, close_code::AWAY, "the service stops").await;
                false
            }
        };
        if !alive {
            break;
        }
    }
    stream.closed().await;
}

/// `false`: the node has been revoked since. A store that does not answer revokes nobody.
async fn still_registered(service: &Service, node: &Shown, socket: &mut WebSocket) -> bool {
    let revoked = check_registration(service, node).await == Err(Refusal::CertificateRevoked);
    if revoked {
        close(socket, close_code::POLICY, "the node has been revoked").await;
    }
    !revoked
}

/// Hands what the node said to the counter; `false`: that was the end.
async fn hear(
    message: Option<Result<Message, axum::Error>>,
    stream: &Stream,
    socket: &mut WebSocket,
) -> bool {
    let text = match message {
        Some(Ok(Message::Text(text))) => text,
        // WebSocket's own, which the library answers. The protocol has its own ping.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => return true,
        Some(Ok(Message::Close(_))) | None => return false,
        Some(Ok(Message::Binary(_)) | Err(_)) => "".into(),
    };
    let Ok(frame) = serde_json::from_str(&text) else {
        close(socket, CloseReason::Protocol.code(), "this is no frame").await;
        return false;
    };
    stream.frame(frame).await
}

/// Sends what the counter says; `false`: that was the end.
async fn say(said: Said, socket: &mut WebSocket) -> bool {
    match said {
        Said::Frame(frame) => send(socket, &frame).await,
        Said::Close(reason) => {
            close(socket, reason.code(), words(reason)).await;
            false
        }
        Said::Gone => {
            close(socket, close_code::ERROR, "the counter has failed").await;
            false
        }
    }
}

const fn words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Protocol => "this frame is not allowed here",
        CloseReason::EpochReplaced => "another machine or a later boot has this identity",
        CloseReason::Superseded => "a later stream has said hello",
        CloseReason::Silent => "nothing was heard for 15 s",
        CloseReason::NotSynced => "not synced within 30 s",
        CloseReason::Recount => "report your sessions anew",
    }
}

async fn send(socket: &mut WebSocket, frame: &ServiceFrame) -> bool {
    let Ok(text) = serde_json::to_string(frame) else {
        return false;
    };
    socket.send(Message::Text(text.into())).await.is_ok()
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // A node that has gone needs no goodbye.
    let _ = socket.send(Message::Close(Some(frame))).await;
}
