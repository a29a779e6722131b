//! A full node: one stream with as many sessions as a node may have, driven by the node's own end of
//! the protocol, ticks included, while the service restarts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt};
use mayfly_counter::message;
use mayfly_counter::node::{Action, Reporter};
use mayfly_wire::Ticket;
use mayfly_wire::counter::NodeFrame;
use rustls::ClientConfig;
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::Message;

use crate::nodes::{Socket, dial};
use crate::service::Way;

/// A node with a session for each ticket.
pub(crate) struct Crowd {
    reporter: Reporter<usize>,
    way: Way,
    identity: Arc<ClientConfig>,
    /// When this stream was synced.
    synced: Option<Instant>,
}

/// What happened on the way.
enum Woken {
    Read(Option<Message>),
    Time,
}

impl Crowd {
    pub(crate) fn new(tickets: Vec<Ticket>, way: Way, identity: Arc<ClientConfig>) -> Self {
        let now = Instant::now();
        let mut reporter = Reporter::new([7; 32], now);
        for (id, ticket) in tickets.into_iter().enumerate() {
            reporter.session_up(id, ticket, now);
        }
        Self {
            reporter,
            way,
            identity,
            synced: None,
        }
    }

    /// Runs until the stream is synced and all have their verdicts. Returns the times of both.
    pub(crate) async fn settle(&mut self) -> [Duration; 2] {
        let began = Instant::now();
        self.synced = None;
        let (mut sink, mut source) = None::<Socket>.map(StreamExt::split).unzip();
        loop {
            while let Some(action) = self.reporter.poll_action() {
                match action {
                    Action::Connect => {
                        let socket = dial(&self.way, self.identity.clone()).await;
                        (sink, source) = Some(socket.split()).unzip();
                        self.reporter.handle_connected(Instant::now());
                    }
                    Action::Send(frames) => {
                        self.count(&frames);
                        let text = Message::text(message::encode(&frames));
                        sink.as_mut().unwrap().send(text).await.unwrap();
                    }
                    Action::Disconnect => unreachable!("the service answers"),
                    _ => {}
                }
            }
            if let Some(synced) = self.synced
                && self.reporter.is_settled()
            {
                self.reporter.handle_disconnected(None, Instant::now());
                return [synced - began, began.elapsed()];
            }
            let due = self.reporter.poll_timeout().unwrap();
            let read = async {
                match &mut source {
                    Some(source) => source.next().await.transpose().unwrap(),
                    None => std::future::pending().await,
                }
            };
            let woken = tokio::select! {
                message = read => Woken::Read(message),
                () = sleep_until(due.into()) => Woken::Time,
            };
            match woken {
                Woken::Read(Some(Message::Text(text))) => {
                    let frames = message::decode(&text).unwrap();
                    self.reporter.handle_message(&frames, Instant::now());
                }
                Woken::Read(other) => unreachable!("{other:?}"),
                Woken::Time => self.reporter.handle_timeout(Instant::now()),
            }
        }
    }

    fn count(&mut self, frames: &[NodeFrame]) {
        if frames.contains(&NodeFrame::Synced {}) {
            self.synced = Some(Instant::now());
        }
    }
}
