//! The counter stream: a WebSocket over TLS that carries the messages of [`Control`]'s reporter.

mod socket;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout};
use tokio_tungstenite::client_async_with_config;

use crate::accounts_link::{AccountsLink, ServiceError};
use crate::control::{Action, Connection, Control};
use crate::tls::Identity;
use socket::{Event, Socket};

/// How long it may take to connect.
const PATIENCE: Duration = Duration::from_secs(5);

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
    Socket(Event),
    Time,
    Actions,
}

impl CounterStream {
    /// Carries messages, both ways at the same time. Does not return.
    pub(crate) async fn run(self) {
        let actions = self.control.borrow().woken();
        let mut socket = None;
        loop {
            self.carry_out(&mut socket).await;
            let deadline = self.control.borrow().poll_timeout();
            let stuck = socket.as_ref().and_then(Socket::stuck_at);
            let woken = tokio::select! {
                event = next(&mut socket) => Woken::Socket(event),
                () = until(deadline.into_iter().chain(stuck).min()) => Woken::Time,
                () = actions.notified() => Woken::Actions,
            };
            self.handle(woken, &mut socket);
        }
    }

    fn handle(&self, woken: Woken, socket: &mut Option<Socket>) {
        let now = Instant::now();
        let mut control = self.control.borrow_mut();
        let is_stuck = |socket: &Socket| socket.stuck_at().is_some_and(|at| now >= at);
        let end = match woken {
            Woken::Socket(Event::Message(frames)) => return control.handle_message(&frames, now),
            Woken::Socket(Event::End(code)) => code,
            Woken::Time if socket.as_ref().is_some_and(is_stuck) => None,
            Woken::Time => return control.handle_timeout(now),
            Woken::Socket(Event::Sent) | Woken::Actions => return,
        };
        *socket = None;
        control.handle_connection(Connection::Closed(end), now);
    }

    /// Does what there is to do. What comes after a message waits until it has been sent.
    async fn carry_out(&self, socket: &mut Option<Socket>) {
        while !socket.as_ref().is_some_and(Socket::is_sending) {
            let Some(action) = self.control.borrow_mut().poll_action(Instant::now()) else {
                return;
            };
            match action {
                Action::Connect => *socket = self.connect().await,
                Action::Send(frames) => {
                    if let Some(socket) = socket {
                        socket.send(&frames).await;
                    }
                }
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
        let opened = client_async_with_config(address, stream, Some(socket::config())).await;
        opened
            .map(|(stream, _)| Socket::new(stream))
            .map_err(|_| ServiceError::Answer)
    }
}

async fn next(socket: &mut Option<Socket>) -> Event {
    match socket {
        Some(socket) => socket.next().await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
