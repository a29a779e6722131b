//! One connection of the counter stream, which sends and reads at the same time.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use mayfly_counter::constants::{DEAD_AFTER, KEYS_LAST, MESSAGE_LEN};
use mayfly_counter::message;
use mayfly_wire::counter::{NodeFrame, ServiceFrame};

/// How long the service may take for one message. It counts as dead then, anyway.
const PATIENCE: Duration = DEAD_AFTER;

/// A connection that has become a WebSocket.
pub(super) struct Socket {
    stream: WebSocketStream<TlsStream<TcpStream>>,
    /// When the message that is being sent was begun. There is one at a time: a message overwrites
    /// the one before it in the library's buffer, which would keep its ticket otherwise.
    sending_since: Option<Instant>,
    /// When the TLS keys are to be changed (rule 8 of `crates/counter/PROTOCOL.md`).
    keys_end: Instant,
}

/// What happened on it.
pub(super) enum Event {
    /// The message has been sent.
    Sent,
    /// A message has come, with these frames.
    Message(Vec<ServiceFrame>),
    /// The stream has ended, with the close code, if one was read.
    End(Option<u16>),
}

/// Messages have one length, and each is a write of its own, and so a TLS record of its own.
pub(super) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_LEN))
        .max_frame_size(Some(MESSAGE_LEN))
}

impl Socket {
    /// `stream` has [`config`].
    pub(super) fn new(stream: WebSocketStream<TlsStream<TcpStream>>) -> Self {
        Self {
            stream,
            sending_since: None,
            keys_end: Instant::now() + KEYS_LAST,
        }
    }

    /// Whether a message is being sent.
    pub(super) fn is_sending(&self) -> bool {
        self.sending_since.is_some()
    }

    /// When to give the connection up because it does not take the message that is being sent.
    pub(super) fn stuck_at(&self) -> Option<Instant> {
        self.sending_since.map(|since| since + PATIENCE)
    }

    /// Begins to send a message, if none is being sent. [`next`](Self::next) carries on with it.
    pub(super) async fn send(&mut self, frames: &[NodeFrame]) {
        let now = Instant::now();
        self.sending_since = Some(now);
        if now >= self.keys_end {
            self.keys_end = now + KEYS_LAST;
            let (_, connection) = self.stream.get_mut().get_mut();
            // It asks for new keys for both directions, right before the message. A connection
            // that refuses has ended, which `next` finds out.
            let _ = connection.refresh_traffic_keys();
        }
        // There is room for it, so this does not wait. `next` finds out if the connection has ended.
        let _ = self
            .stream
            .feed(Message::text(message::encode(frames)))
            .await;
    }

    /// Carries on with the message that is being sent, and waits for what happens first. If it is
    /// dropped before that, nothing is lost.
    pub(super) async fn next(&mut self) -> Event {
        poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        if self.is_sending() {
            match self.stream.poll_flush_unpin(context) {
                Poll::Ready(Ok(())) => {
                    self.sending_since = None;
                    return Poll::Ready(Event::Sent);
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Event::End(None)),
                Poll::Pending => {}
            }
        }
        loop {
            let Poll::Ready(arrived) = self.stream.poll_next_unpin(context) else {
                return Poll::Pending;
            };
            if let Some(event) = read(arrived) {
                return Poll::Ready(event);
            }
        }
    }
}

fn read(arrived: Option<Result<Message, Error>>) -> Option<Event> {
    Some(match arrived {
        Some(Ok(Message::Text(text))) => {
            message::decode(&text).map_or(Event::End(None), Event::Message)
        }
        // The pings of WebSocket, which the library answers.
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => return None,
        Some(Ok(Message::Close(Some(close)))) => Event::End(Some(close.code.into())),
        _ => Event::End(None),
    })
}

#[cfg(test)]
mod tests;
