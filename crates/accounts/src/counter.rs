//! The live counter, on a thread of its own: password hashing never starves it.
//!
//! A [`Stream`] is a node's end of it here. Tickets are opened and the store is asked on the
//! stream's own task; the counter sees accounts, holds no ticket, and waits for nothing.

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
use worker::{Command, Heard, Worker};

/// Commands that may wait; beyond, streams are read no further.
const WAITING: usize = 4096;

/// The way to the counter's thread.
pub(crate) struct Counter {
    commands: mpsc::Sender<Command>,
    store: Arc<Store>,
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
    store: Arc<Store>,
    tickets: Arc<TicketKeys>,
    said: mpsc::UnboundedReceiver<Said>,
}

impl Counter {
    /// Starts the thread; it ends with the last handle and stream.
    pub(crate) fn start(
        store: Arc<Store>,
        tickets: Arc<TicketKeys>,
        marks: Arc<Marks>,
    ) -> Result<Self, StartError> {
        let (commands, received) = mpsc::channel(WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|_| StartError::Randomness)?;
        let worker = Worker::new(marks);
        std::thread::Builder::new()
            .name("counter".to_owned())
            .spawn(move || runtime.block_on(worker.run(received)))
            .map_err(|_| StartError::Randomness)?;
        Ok(Self {
            commands,
            store,
            tickets,
        })
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
            store: self.store.clone(),
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

    /// The accounts that have devices now.
    ///
    /// # Errors
    /// [`Refusal::Internal`].
    pub(crate) async fn accounts(&self) -> Result<Vec<AccountId>, Refusal> {
        let (reply, accounts) = oneshot::channel();
        let sent = self.commands.send(Command::Accounts { reply }).await;
        sent.map_err(|_| Refusal::Internal)?;
        accounts.await.map_err(|_| Refusal::Internal)
    }

    /// Has the nodes that count devices of these accounts, which are no more, report anew.
    ///
    /// # Errors
    /// [`Refusal::Internal`].
    pub(crate) async fn erased(&self, accounts: Vec<AccountId>) -> Result<(), Refusal> {
        let sent = self.commands.send(Command::Erased { accounts }).await;
        sent.map_err(|_| Refusal::Internal)
    }
}

impl Stream {
    /// Hands over what the node said; `false`: the counter has gone.
    pub(crate) async fn frame(&self, frame: NodeFrame) -> bool {
        let heard = match frame {
            NodeFrame::Report { ticket, delta, .. } => self.whose(frame, &ticket, delta).await,
            _ => Heard::of_nobody(frame),
        };
        let command = Command::Frame {
            stream: self.id,
            heard,
        };
        self.commands.send(command).await.is_ok()
    }

    /// An expired ticket gives no device, and takes back the one that it gave. An account that
    /// has been erased gets no device, either.
    async fn whose(&self, frame: NodeFrame, ticket: &Ticket, delta: Delta) -> Heard {
        let mut heard = Heard::of_nobody(frame);
        let Some(opened) = self.tickets.open_ticket(ticket) else {
            return heard;
        };
        match delta {
            Delta::Down => heard.account = Some(opened.account),
            Delta::Up if clock::unix_now() < opened.expiry => {
                // A store that does not answer denies nobody: the account was there when it
                // was given the ticket.
                let known = self.store.known(vec![opened.account]).await.ok();
                let connected =
                    known.map_or(Some(false), |known| known.get(&opened.account).copied());
                heard.account = connected.map(|_| opened.account);
                heard.is_first = connected == Some(false);
            }
            Delta::Up => {}
        }
        heard
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
