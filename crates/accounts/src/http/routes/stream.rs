//! `GET /v1/counter`: a node's stream, a WebSocket (RFC 6455) of JSON text messages.
//!
//! It only carries frames. The counter keeps every rule.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures_util::{FutureExt as _, SinkExt as _};
use mayfly_counter::CloseReason;
use mayfly_wire::counter::{NodeFrame, ServiceFrame};
use tokio::time::{Instant, interval_at, timeout};

use super::Shared;
use crate::counter::{NotLeader, Outgoing, Stream};
use crate::http::listener::Peer;
use crate::http::refusal::Refusal;
use crate::keys::nodes::Registration;
use crate::keys::tls::PeerCertificate;
use crate::service::Service;
use crate::store::Node;

/// The most messages in one batch, in either direction.
const MAX_BATCH: usize = 256;

/// How long a node may leave a message unread.
const PATIENCE: Duration = Duration::from_secs(15);

/// The most bytes in a message. The longest frame, a report, has fewer than 200.
const MAX_FRAME: usize = 1024;

/// How often the register is checked for the node of an open stream.
const CHECK: Duration = Duration::from_secs(60);

/// Takes a stream of a registered node that showed a certificate of our authority.
pub(super) async fn upgrade(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let node = peer
        .certificate
        .clone()
        .ok_or(Refusal::CertificateMissing)?;
    let drains = check_registration(&service, &node).await?;
    if !service.counter.is_leader() {
        return Err(NotLeader.into());
    }
    let upgrade = upgrade.map_err(|_| Refusal::NoWebSocket)?;
    let upgrade = upgrade
        .max_message_size(MAX_FRAME)
        .max_frame_size(MAX_FRAME);
    Ok(upgrade.on_upgrade(move |socket| carry(socket, service, node, drains, peer)))
}

/// Whether the node is to drain. A certificate is valid as long as the registration under which it
/// was issued.
async fn check_registration(service: &Service, shown: &PeerCertificate) -> Result<bool, Refusal> {
    let node = service.store.node(shown.name.to_string()).await?;
    let same = |node: &Node| Some(Registration::of(&node.secret)) == shown.registration;
    let node = node.filter(same).ok_or(Refusal::CertificateRevoked)?;
    Ok(node.drains)
}

async fn carry(
    mut socket: WebSocket,
    service: Arc<Service>,
    node: PeerCertificate,
    drains: bool,
    mut peer: Peer,
) {
    let Ok(mut stream) = service.counter.accept(node.name.clone()).await else {
        return;
    };
    let mut standing = Standing {
        service: &service,
        node: &node,
        told: false,
    };
    let mut check = interval_at(Instant::now() + CHECK, CHECK);
    let mut outgoing = Vec::with_capacity(MAX_BATCH);
    // This comes before the counter's `welcome`, which answers the node's `hello`.
    let mut alive = standing.tell(drains, &mut socket).await;
    while alive {
        alive = tokio::select! {
            message = socket.recv() => receive(message, &stream, &mut socket).await,
            () = stream.recv(&mut outgoing, MAX_BATCH) => send(&mut outgoing, &mut socket).await,
            _ = check.tick() => standing.check(&mut socket).await,
            () = peer.stopping() => {
                close(&mut socket, close_code::AWAY, "the service stops").await;
                false
            }
        };
    }
    stream.closed().await;
}

/// The state of an open stream's node in the register.
struct Standing<'a> {
    service: &'a Service,
    node: &'a PeerCertificate,
    /// What the node was last told on this stream. At first it was not told to drain.
    told: bool,
}

impl Standing<'_> {
    /// Checks the register again. `false`: the node has been revoked, or cannot be sent to. If the
    /// store does not answer, nothing changes.
    async fn check(&mut self, socket: &mut WebSocket) -> bool {
        match check_registration(self.service, self.node).await {
            Ok(drains) => self.tell(drains, socket).await,
            Err(Refusal::CertificateRevoked) => {
                close(socket, close_code::POLICY, "the node has been revoked").await;
                false
            }
            Err(_) => true,
        }
    }

    async fn tell(&mut self, drains: bool, socket: &mut WebSocket) -> bool {
        if self.told == drains {
            return true;
        }
        self.told = drains;
        let mut frame = vec![Outgoing::Frame(ServiceFrame::Drain { on: drains })];
        send(&mut frame, socket).await
    }
}

/// Hands the frames that have arrived to the counter. `false`: the stream has ended.
async fn receive(
    first: Option<Result<Message, axum::Error>>,
    stream: &Stream,
    socket: &mut WebSocket,
) -> bool {
    let mut frames = Vec::new();
    let mut end = read(first, &mut frames);
    while end.is_none() && frames.len() < MAX_BATCH {
        let Some(message) = socket.recv().now_or_never() else {
            break;
        };
        end = read(message, &mut frames);
    }
    if !frames.is_empty() && !stream.submit(frames).await {
        // The stream learns of it from `recv`.
        return end.is_none();
    }
    if end == Some(End::NoFrame) {
        close(socket, CloseReason::Protocol.code(), "this is no frame").await;
    }
    end.is_none()
}

/// Why no more frames come from the node.
#[derive(PartialEq, Eq)]
enum End {
    Gone,
    NoFrame,
}

fn read(message: Option<Result<Message, axum::Error>>, frames: &mut Vec<NodeFrame>) -> Option<End> {
    match message {
        Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
            Ok(frame) => frames.push(frame),
            Err(_) => return Some(End::NoFrame),
        },
        // The pings of WebSocket, which the library answers. The protocol has its own ping.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
        Some(Ok(Message::Close(_))) | None => return Some(End::Gone),
        Some(Ok(Message::Binary(_)) | Err(_)) => return Some(End::NoFrame),
    }
    None
}

/// Sends what the counter has for the stream. `false`: the stream has ended.
async fn send(outgoing: &mut Vec<Outgoing>, socket: &mut WebSocket) -> bool {
    let sent = timeout(PATIENCE, feed(outgoing, socket)).await;
    matches!(sent, Ok(Some(())))
}

async fn feed(outgoing: &mut Vec<Outgoing>, socket: &mut WebSocket) -> Option<()> {
    for outgoing in outgoing.drain(..) {
        match outgoing {
            Outgoing::Frame(frame) => socket.feed(text(&frame)?).await.ok()?,
            Outgoing::Close(reason) => {
                close(socket, reason.code(), words(reason)).await;
                return None;
            }
            Outgoing::Stopped => {
                close(socket, close_code::AWAY, "another process counts now").await;
                return None;
            }
        }
    }
    socket.flush().await.ok()
}

fn text(frame: &ServiceFrame) -> Option<Message> {
    let text = serde_json::to_string(frame).ok()?;
    Some(Message::Text(text.into()))
}

const fn words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Protocol => "this frame is not allowed here",
        CloseReason::EpochReplaced => "another machine or a later boot has this identity",
        CloseReason::Superseded => "a later stream has said hello",
        CloseReason::Silent => "nothing arrived for 15 s",
        CloseReason::NotSynced => "not synced within 30 s",
        CloseReason::Recount => "report your sessions again",
    }
}

async fn close(socket: &mut WebSocket, code: u16, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    // A connection that has ended cannot be closed.
    let _ = socket.send(Message::Close(Some(frame))).await;
}
