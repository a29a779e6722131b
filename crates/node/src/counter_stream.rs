//! The counter stream: a WebSocket over TLS that carries the frames of [`Control`]'s reporter.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use mayfly_wire::counter::{NodeFrame, ServiceFrame};

use crate::accounts_link::{AccountsLink, ServiceError};
use crate::control::{Action, Connection, Control};
use crate::tls::Identity;

/// How long it may take to connect, and to send a frame.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a message. The longest frame that the service sends has some 60.
const LONGEST_MESSAGE: usize = 1024;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// The shell around [`Control`] that talks to the account service.
pub(crate) struct CounterStream {
    /// The way to the service.
    pub accounts: Arc<AccountsLink>,
    /// Without a certificate, the service does not let the node connect.
    pub identity: Arc<Identity>,
    /// The state machine.
    pub control: Rc<RefCell<Control>>,
}

/// Why the loop woke.
enum Woken {
    Frame(ServiceFrame),
    /// The stream has ended, with the close code, if one was read.
    End(Option<u16>),
    Time,
    Actions,
}

impl CounterStream {
    /// Carries frames. Does not return.
    pub(crate) async fn run(self) {
        let actions = self.control.borrow().woken();
        let mut socket = None;
        loop {
            self.drain_actions(&mut socket).await;
            let deadline = self.control.borrow().poll_timeout();
            let woken = tokio::select! {
                woken = next_frame(&mut socket) => woken,
                () = until(deadline) => Woken::Time,
                () = actions.notified() => Woken::Actions,
            };
            self.handle(woken, &mut socket);
        }
    }

    fn handle(&self, woken: Woken, socket: &mut Option<Socket>) {
        let now = Instant::now();
        let mut control = self.control.borrow_mut();
        match woken {
            Woken::Frame(frame) => control.handle_frame(frame, now),
            Woken::End(code) => {
                *socket = None;
                control.handle_connection(Connection::Closed(code), now);
            }
            Woken::Time => control.handle_timeout(now),
            Woken::Actions => {}
        }
    }

    async fn drain_actions(&self, socket: &mut Option<Socket>) {
        loop {
            let Some(action) = self.control.borrow_mut().poll_action(Instant::now()) else {
                return;
            };
            match action {
                Action::Connect => *socket = self.connect().await,
                Action::Send(frame) => self.send(socket, frame).await,
                Action::Disconnect => *socket = None,
            }
        }
    }

    async fn connect(&self) -> Option<Socket> {
        let opened = match timeout(PATIENCE, self.open()).await {
            Ok(opened) => opened,
            Err(_) => Err(ServiceError::Connection),
        };
        let connection = match &opened {
            Ok(_) => Connection::Open,
            Err(ServiceError::Clock) => Connection::WrongClock,
            Err(_) => Connection::Failed,
        };
        if opened.is_err() && self.identity.is_certified() {
            self.accounts.try_next_address();
        }
        let mut control = self.control.borrow_mut();
        control.handle_connection(connection, Instant::now());
        opened.ok()
    }

    async fn open(&self) -> Result<Socket, ServiceError> {
        if !self.identity.is_certified() {
            // Until then, admission is what tries to reach the service.
            return Err(ServiceError::Answer);
        }
        let stream = self.accounts.connect().await?;
        let address = format!("wss://{}/v1/counter", self.accounts.host());
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let opened = client_async_with_config(address, stream, Some(config)).await;
        opened
            .map(|(socket, _)| socket)
            .map_err(|_| ServiceError::Answer)
    }

    async fn send(&self, socket: &mut Option<Socket>, frame: NodeFrame) {
        let Some(open) = socket else {
            return;
        };
        // A frame always has a JSON form. The service would refuse an empty one.
        let text = serde_json::to_string(&frame).unwrap_or_default();
        let sent = timeout(PATIENCE, open.send(Message::text(text))).await;
        if !matches!(sent, Ok(Ok(()))) {
            self.handle(Woken::End(None), socket);
        }
    }
}

/// Waits for the next frame, or the end of the stream.
async fn next_frame(socket: &mut Option<Socket>) -> Woken {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let frame = serde_json::from_str(&text);
                return frame.map_or(Woken::End(None), Woken::Frame);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(Some(close)))) => return Woken::End(Some(close.code.into())),
            _ => return Woken::End(None),
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
