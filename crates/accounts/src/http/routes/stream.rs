//! `GET /v1/counter`: a node's stream, a WebSocket (RFC 6455) whose messages all have one length.
//!
//! It only carries messages, both ways at the same time: it reads while it sends, so that two ends
//! that both have much to say do not wait for each other. The counter keeps every rule. "Rule N" is
//! rule N of `crates/counter/PROTOCOL.md`.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseCode, CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use mayfly_counter::CloseReason;
use mayfly_counter::constants::{DEAD_AFTER, MESSAGE_FRAMES, MESSAGE_LEN, MESSAGES_A_TICK};
use mayfly_counter::message;
use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at, timeout};

use super::Shared;
use crate::counter::{Answers, NotLeader, Outgoing, Stream};
use crate::http::listener::Peer;
use crate::http::refusal::Refusal;
use crate::keys::nodes::Registration;
use crate::keys::tls::PeerCertificate;
use crate::service::Service;
use crate::store::Node;

/// The most messages that are read before the counter gets their frames, 448 at most.
const MAX_BATCH: usize = 64;

/// The most asks of a stream without a verdict. A node that has this many is not read until it has
/// taken verdicts. It is what a node sends in two ticks.
const MAX_ASKED: usize = 2 * MESSAGES_A_TICK * MESSAGE_FRAMES;

/// How long a node may take for one message. It counts as dead then, anyway.
const PATIENCE: Duration = DEAD_AFTER;

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
        .max_message_size(MESSAGE_LEN)
        .max_frame_size(MESSAGE_LEN)
        // Each message is a write of its own, and so a TLS record of its own.
        .write_buffer_size(0);
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
    socket: WebSocket,
    service: Arc<Service>,
    node: PeerCertificate,
    drains: bool,
    mut peer: Peer,
) {
    let Ok((stream, mut answers)) = service.counter.accept(node.name.clone()).await else {
        return;
    };
    let (mut sink, mut source) = socket.split();
    let room = Semaphore::new(MAX_ASKED);
    if drains {
        // This comes before the counter's `welcome`, which answers the node's `hello`.
        stream.drain(true).await;
    }
    let end = tokio::select! {
        () = read(&mut source, &stream, &room) => None,
        end = write(&mut answers, &mut sink, &room) => end,
        () = watch(&service, &node, drains, &stream) => {
            Some((close_code::POLICY, "the node has been revoked"))
        }
        () = peer.stopping() => Some((close_code::AWAY, "the service stops")),
    };
    if let Some((code, reason)) = end {
        // A connection that has ended cannot be closed.
        let _ = timeout(PATIENCE, close(&mut sink, code, reason)).await;
    }
    stream.closed().await;
}

/// Looks at the register for the node of an open stream, and tells it when it is to drain. Returns
/// when the node has been revoked. If the store does not answer, nothing changes.
async fn watch(service: &Service, node: &PeerCertificate, mut drains: bool, stream: &Stream) {
    let mut check = interval_at(Instant::now() + CHECK, CHECK);
    loop {
        check.tick().await;
        match check_registration(service, node).await {
            Ok(now) if now != drains => {
                drains = now;
                stream.drain(now).await;
            }
            Err(Refusal::CertificateRevoked) => return,
            Ok(_) | Err(_) => {}
        }
    }
}

/// Hands what arrives to the counter, until the connection ends.
async fn read(source: &mut SplitStream<WebSocket>, stream: &Stream, room: &Semaphore) {
    loop {
        let (frames, end) = receive(source).await;
        let asked = frames.iter().filter(|frame| asks(frame)).count();
        if let Ok(taken) = room.acquire_many(asked as u32).await {
            taken.forget();
        }
        if end.is_none() || !frames.is_empty() {
            stream.submit(frames).await;
        }
        match end {
            None => {}
            Some(End::Gone) => return,
            Some(End::Unreadable) => {
                stream.unreadable().await;
                // The counter closes the stream.
                return std::future::pending().await;
            }
        }
    }
}

const fn asks(frame: &NodeFrame) -> bool {
    matches!(
        frame,
        NodeFrame::Report {
            delta: Delta::Up,
            ..
        }
    )
}

/// Why no more messages come from the node.
#[derive(PartialEq, Eq)]
enum End {
    Gone,
    Unreadable,
}

/// The frames of the messages that have arrived, after waiting for the first one.
async fn receive(source: &mut SplitStream<WebSocket>) -> (Vec<NodeFrame>, Option<End>) {
    let mut frames = Vec::new();
    let mut end = open(source.next().await, &mut frames);
    for _ in 1..MAX_BATCH {
        if end.is_some() {
            break;
        }
        let Some(message) = source.next().now_or_never() else {
            break;
        };
        end = open(message, &mut frames);
    }
    (frames, end)
}

fn open(arrived: Option<Result<Message, axum::Error>>, frames: &mut Vec<NodeFrame>) -> Option<End> {
    match arrived {
        Some(Ok(Message::Text(text))) => match message::decode(&text) {
            Some(more) => frames.extend::<Vec<NodeFrame>>(more),
            None => return Some(End::Unreadable),
        },
        // The pings of WebSocket, which the library answers.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
        Some(Ok(Message::Close(_))) | None => return Some(End::Gone),
        Some(Ok(Message::Binary(_)) | Err(_)) => return Some(End::Unreadable),
    }
    None
}

/// Sends what the counter has for the stream, until that ends. Returns the code and the reason to
/// close it with, if it can be closed.
async fn write(
    answers: &mut Answers,
    sink: &mut SplitSink<WebSocket, Message>,
    room: &Semaphore,
) -> Option<(CloseCode, &'static str)> {
    loop {
        let frames = match answers.recv().await {
            Some(Outgoing::Message(frames)) => frames,
            Some(Outgoing::Close(reason)) => return Some((reason.code(), words(reason))),
            None => return Some((close_code::AWAY, "another process counts now")),
        };
        let text = Message::Text(message::encode(&frames).into());
        timeout(PATIENCE, sink.send(text)).await.ok()?.ok()?;
        let verdicts = frames.iter().filter(|frame| is_verdict(frame)).count();
        room.add_permits(verdicts);
    }
}

const fn is_verdict(frame: &ServiceFrame) -> bool {
    matches!(frame, ServiceFrame::Verdict { .. })
}

const fn words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::Protocol => "this frame is not allowed here",
        CloseReason::EpochReplaced => "another machine or a later boot has this identity",
        CloseReason::Superseded => "a later stream has said hello",
        CloseReason::Silent => "nothing arrived for 15 s",
        CloseReason::NotSynced => "not synced in time",
        CloseReason::Recount => "report your sessions again",
        CloseReason::Version => "this service speaks another version of the protocol",
    }
}

async fn close(sink: &mut SplitSink<WebSocket, Message>, code: CloseCode, reason: &'static str) {
    let frame = CloseFrame {
        code,
        reason: reason.into(),
    };
    let _ = sink.send(Message::Close(Some(frame))).await;
}
