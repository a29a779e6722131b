//! A node with the real end of the protocol, over real streams, to whichever address answers.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use mayfly_counter::message;
use mayfly_counter::node::{Action, Reporter};
use mayfly_wire::Ticket;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A session, by a number that no other one of its node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(u64);

/// A node that runs until it is dropped.
pub(crate) struct LiveNode {
    events: mpsc::UnboundedSender<Event>,
    live: Arc<Mutex<BTreeSet<u64>>>,
    next: u64,
}

enum Event {
    Up(SessionId, Ticket),
    Down(SessionId),
}

impl LiveNode {
    /// Boots a node whose certificate is in `tls`, with the service at any of `addresses`.
    pub(crate) fn boot(seed: u8, tls: Arc<ClientConfig>, addresses: Vec<SocketAddr>) -> Self {
        let (events, received) = mpsc::unbounded_channel();
        let live = Arc::<Mutex<BTreeSet<u64>>>::default();
        let state = State {
            reporter: Reporter::new([seed; 32], Instant::now()),
            tls: TlsConnector::from(tls),
            addresses,
            turn: 0,
            socket: None,
            live: live.clone(),
        };
        tokio::spawn(state.run(received));
        Self {
            events,
            live,
            next: 0,
        }
    }

    /// A client connects.
    pub(crate) fn up(&mut self, ticket: Ticket) -> SessionId {
        let id = SessionId(self.next);
        self.next += 1;
        self.live.lock().unwrap().insert(id.0);
        self.events.send(Event::Up(id, ticket)).unwrap();
        id
    }

    /// A client leaves.
    pub(crate) fn down(&self, id: SessionId) {
        self.live.lock().unwrap().remove(&id.0);
        self.events.send(Event::Down(id)).unwrap();
    }

    /// The number of sessions that have neither left nor been ended.
    pub(crate) fn live(&self) -> usize {
        self.live.lock().unwrap().len()
    }
}

struct State {
    reporter: Reporter<SessionId>,
    tls: TlsConnector,
    addresses: Vec<SocketAddr>,
    /// The index of the address that is tried next.
    turn: usize,
    socket: Option<Socket>,
    live: Arc<Mutex<BTreeSet<u64>>>,
}

impl State {
    async fn run(mut self, mut events: mpsc::UnboundedReceiver<Event>) {
        loop {
            self.carry_out().await;
            let due = self.reporter.poll_timeout();
            tokio::select! {
                message = next(&mut self.socket) => self.hear(message),
                () = until(due) => self.reporter.handle_timeout(Instant::now()),
                event = events.recv() => match event {
                    Some(Event::Up(id, ticket)) => {
                        self.reporter.session_up(id, ticket, Instant::now());
                    }
                    Some(Event::Down(id)) => self.reporter.session_down(id, Instant::now()),
                    None => return,
                },
            }
        }
    }

    async fn carry_out(&mut self) {
        while let Some(action) = self.reporter.poll_action() {
            match action {
                Action::Connect => self.connect().await,
                Action::Send(frames) => {
                    let text = message::encode(&frames);
                    let sent = match &mut self.socket {
                        Some(socket) => socket.send(Message::text(text)).await.is_ok(),
                        None => true,
                    };
                    if !sent {
                        self.lose(None);
                    }
                }
                Action::Disconnect => self.socket = None,
                Action::End(id) => {
                    self.live.lock().unwrap().remove(&id.0);
                }
                Action::Clock(_) | Action::Drain(_) | Action::Replaced => {}
            }
        }
    }

    async fn connect(&mut self) {
        let address = self.addresses[self.turn % self.addresses.len()];
        let opened = timeout(PATIENCE, open(&self.tls, address)).await;
        self.socket = opened.ok().flatten();
        if self.socket.is_some() {
            self.reporter.handle_connected(Instant::now());
        } else {
            self.lose(None);
        }
    }

    fn hear(&mut self, message: Option<Message>) {
        match message {
            Some(Message::Text(text)) => {
                let frames = message::decode(&text).unwrap();
                self.reporter.handle_message(&frames, Instant::now());
            }
            Some(Message::Close(Some(close))) => self.lose(Some(close.code.into())),
            _ => self.lose(None),
        }
    }

    fn lose(&mut self, code: Option<u16>) {
        self.socket = None;
        self.turn += 1;
        self.reporter.handle_disconnected(code, Instant::now());
    }
}

async fn open(tls: &TlsConnector, address: SocketAddr) -> Option<Socket> {
    let tcp = TcpStream::connect(address).await.ok()?;
    let name = "localhost".try_into().unwrap();
    let stream = tls.connect(name, tcp).await.ok()?;
    let opened = tokio_tungstenite::client_async("wss://localhost/v1/counter", stream).await;
    opened.ok().map(|(socket, _)| socket)
}

async fn next(socket: &mut Option<Socket>) -> Option<Message> {
    match socket {
        Some(socket) => socket.next().await?.ok(),
        None => std::future::pending().await,
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
