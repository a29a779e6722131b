//! The live counter, on a thread of its own: password hashing never starves it, and it may
//! ask the store without holding up a request.
//!
//! A [`Stream`] is a node's end of it here. Tickets are opened on the stream's own task; the
//! counter sees accounts, and holds no ticket.

mod granted;
mod worker;

use std::sync::Arc;

use mayfly_counter::CloseReason;
use mayfly_counter::service::StreamId;
use mayfly_wire::Ticket;
use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::marks::Marks;
use crate::record::AccountId;
use crate::refusal::Refusal;
use crate::start::StartError;
use crate::store::Store;
use crate::tickets::TicketKeys;
use worker::{Command, Worker};

/// Commands that may wait; beyond, streams are read no further.
const WAITING: usize = 4096;

/// The way to the counter's thread.
pub(crate) struct Counter {
    commands: mpsc::Sender<Command>,
    tickets: Arc<TicketKeys>,
}

/// What the counter says on a stream.
pub(crate) enum Said {
    /// Send this.
    Frame(ServiceFrame),
    /// End the stream.
    Close(CloseReason),
    /// The counter has gone, which is a fault.
    Gone,
}

/// A stream that the counter has accepted.
pub(crate) struct Stream {
    id: StreamId,
    commands: mpsc::Sender<Command>,
    tickets: Arc<TicketKeys>,
    said: mpsc::UnboundedReceiver<Said>,
}

impl Counter {
    /// Starts the thread; it ends with the last handle and stream.
    pub(crate) fn start(
        store: Store,
        tickets: Arc<TicketKeys>,
        marks: Arc<Marks>,
    ) -> Result<Self, StartError> {
        let (commands, received) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|_| StartError::Randomness)?;
        let worker = Worker::new(store, marks);
        std::thread::Builder::new()
            .name("counter".to_owned())
            .spawn(move || runtime.block_on(worker.run(received)))
            .map_err(|_| StartError::Randomness)?;
        Ok(Self { commands, tickets })
    }

    /// Accepts a stream of the node; `None`: the counter has gone.
    pub(crate) async fn accept(&self, node: Arc<str>) -> Option<Stream> {
        // Without a bound, and yet bounded: at most WAITING verdicts for reports that were
        // read, and a ping in ten seconds until the stream counts as dead.
        let (sender, said) = mpsc::unbounded_channel();
        let (reply, accepted) = oneshot::channel();
        let command = Command::Accept {
            node,
            said: sender,
            reply,
        };
        self.commands.send(command).await.ok()?;
        Some(Stream {
            id: accepted.await.ok()?,
            commands: self.commands.clone(),
            tickets: self.tickets.clone(),
            said,
        })
    }

    /// Devices of an account that are connected now.
    ///
    /// # Errors
    /// [`Refusal::Internal`].
    pub(crate) async fn devices(&self, account: AccountId) -> Result<u8, Refusal> {
        let (reply, devices) = oneshot::channel();
        let sent = self
            .commands
            .send(Command::Devices { account, reply })
            .await;
        sent.map_err(|_| Refusal::Internal)?;
        devices.await.map_err(|_| Refusal::Internal)
    }
}

impl Stream {
    /// Hands over what the node said; `false`: the counter has gone.
    pub(crate) async fn frame(&self, frame: NodeFrame) -> bool {
        let account = match &frame {
            NodeFrame::Report { ticket, delta, .. } => self.account_of(ticket, *delta),
            _ => None,
        };
        let command = Command::Frame {
            stream: self.id,
            frame,
            account,
        };
        self.commands.send(command).await.is_ok()
    }

    /// An expired ticket gives no device, and takes back the one that it gave.
    fn account_of(&self, ticket: &Ticket, delta: Delta) -> Option<AccountId> {
        let opened = self.tickets.open_ticket(ticket)?;
        let counts = delta == Delta::Down || clock::unix_now() < opened.expiry;
        counts.then_some(opened.account)
    }

    /// What the counter says next.
    pub(crate) async fn said(&mut self) -> Said {
        self.said.recv().await.unwrap_or(Said::Gone)
    }

    /// The connection has ended.
    pub(crate) async fn closed(self) {
        // A counter that has gone needs no telling.
        let _ = self
            .commands
            .send(Command::Closed { stream: self.id })
            .await;
    }
}
