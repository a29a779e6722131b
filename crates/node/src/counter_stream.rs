//! The counter stream: a WebSocket over TLS that carries the frames of [`Reporter`].
//!
//! [`Reporter`]: mayfly_counter::node::Reporter

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

use mayfly_counter::node::Action;
use mayfly_wire::counter::{NodeFrame, ServiceFrame};

use crate::clock::Clock;
use crate::control::{Control, Reach};
use crate::service::{Away, Service};
use crate::tls::Identity;

/// How long connecting may take, and sending a frame.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest frame that the service sends has some 60 bytes.
const LONGEST_MESSAGE: usize = 1024;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// What the counter stream works with.
pub struct CounterStream {
    /// Where the service is.
    pub service: Arc<Service>,
    /// Without a certificate, nobody listens to us.
    pub identity: Arc<Identity>,
    /// Set by the service's `welcome`.
    pub clock: Clock,
    /// The reporter, and who must hear of what it says.
    pub control: Rc<RefCell<Control>>,
}

/// Why the loop woke.
enum Woken {
    Frame(ServiceFrame),
    /// The stream is at its end, with the close code if one was read.
    End(Option<u16>),
    Time,
    Reports,
}

impl CounterStream {
    /// Carries frames, for ever.
    pub async fn run(self) {
        let reports = self.control.borrow().reports.clone();
        let settled = self.control.borrow().settled.clone();
        let mut socket = None;
        loop {
            self.carry_out(&mut socket).await;
            settled.notify_waiters();
            let deadline = self.control.borrow().reporter.poll_timeout();
            let woken = tokio::select! {
                woken = next_frame(&mut socket) => woken,
                () = until(deadline) => Woken::Time,
                () = reports.notified() => Woken::Reports,
            };
            self.handle(woken, &mut socket);
        }
    }

    fn handle(&self, woken: Woken, socket: &mut Option<Socket>) {
        let now = Instant::now();
        let mut control = self.control.borrow_mut();
        match woken {
            Woken::Frame(frame) => control.reporter.handle_frame(frame, now),
            Woken::End(code) => {
                *socket = None;
                control.reporter.handle_disconnected(code, now);
                control.handle_reach(Reach::Away);
            }
            Woken::Time => control.reporter.handle_timeout(now),
            Woken::Reports => {}
        }
    }

    /// Does what the reporter asks for, until it asks for nothing more.
    async fn carry_out(&self, socket: &mut Option<Socket>) {
        loop {
            let Some(action) = self.control.borrow_mut().reporter.poll_action() else {
                return;
            };
            match action {
                Action::Connect => *socket = self.connect().await,
                Action::Send(frame) => self.send(socket, frame).await,
                Action::Disconnect => {
                    *socket = None;
                    self.control.borrow_mut().handle_reach(Reach::Away);
                }
                Action::End(session) => self.control.borrow_mut().deny(session, Instant::now()),
                Action::Clock(seconds) => {
                    self.clock.set(seconds);
                    self.control
                        .borrow_mut()
                        .handle_reach(Reach::Up(Instant::now()));
                }
                Action::Drain(on) => self.control.borrow_mut().handle_drain(on),
                Action::Replaced => self.control.borrow_mut().handle_replaced(Instant::now()),
            }
        }
    }

    async fn connect(&self) -> Option<Socket> {
        let connected = match timeout(PATIENCE, self.open()).await {
            Ok(connected) => connected,
            Err(_) => Err(Away::Connection),
        };
        let now = Instant::now();
        let mut control = self.control.borrow_mut();
        match connected {
            Ok(socket) => {
                control.reporter.handle_connected(now);
                Some(socket)
            }
            Err(away) => {
                if self.identity.is_certified() {
                    self.service.pass_on();
                }
                control.reporter.handle_disconnected(None, now);
                let wrong_clock = matches!(away, Away::Clock);
                control.handle_reach(if wrong_clock {
                    Reach::Clock
                } else {
                    Reach::Away
                });
                None
            }
        }
    }

    async fn open(&self) -> Result<Socket, Away> {
        if !self.identity.is_certified() {
            // Admission tries to reach the service meanwhile.
            return Err(Away::Answer);
        }
        let stream = self.service.connect().await?;
        let address = format!("wss://{}/v1/counter", self.service.host());
        let config = WebSocketConfig::default()
            .max_message_size(Some(LONGEST_MESSAGE))
            .max_frame_size(Some(LONGEST_MESSAGE));
        let opened = client_async_with_config(address, stream, Some(config)).await;
        opened.map(|(socket, _)| socket).map_err(|_| Away::Answer)
    }

    async fn send(&self, socket: &mut Option<Socket>, frame: NodeFrame) {
        let Some(open) = socket else {
            return;
        };
        // A frame always has a JSON form; an empty one would be refused by the service.
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
