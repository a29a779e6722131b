//! The live counter, on a thread of its own, so that password hashing never starves it.
//!
//! A [`Stream`] is the service's end of a node's connection. The task of the stream opens tickets
//! and queries the store, for all frames that have arrived by then. The counter's thread sees
//! accounts, holds no ticket, and waits for nothing.
//!
//! Of several processes on one store one counts at a time: the leader ([`replicas`]). The thread
//! exists while this process is the leader.

mod granted;
mod lookup;
pub(crate) mod replicas;
mod worker;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use mayfly_counter::CloseReason;
use mayfly_counter::service::StreamId;
use mayfly_wire::Ticket;
use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
use tokio::sync::{mpsc, oneshot};

use crate::core::clock;
use crate::core::record::AccountId;
use crate::keys::tickets::TicketKeys;
use crate::store::Store;
use crate::store::marks::Marks;
use lookup::{Known, Lookup};
use worker::{Command, Incoming, Worker};

/// The most commands that wait. When they do, streams are not read.
const MAX_COMMANDS: usize = 1024;

/// The handle of the counter's thread.
pub(crate) struct Counter {
    /// `Some` while this process is the leader.
    commands: RwLock<Option<mpsc::Sender<Command>>>,
    lookup: Arc<Lookup>,
    tickets: Arc<TicketKeys>,
    marks: Arc<Marks>,
}

/// This process is not the leader, and the leader cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process that counts cannot be reached")]
pub(crate) struct NotLeader;

/// What the counter has for a stream.
pub(crate) enum Outgoing {
    /// A message with these frames is to be sent.
    Message(Vec<ServiceFrame>),
    /// The stream is to be closed.
    Close(CloseReason),
}

/// A stream that the counter has accepted: its way to the counter.
pub(crate) struct Stream {
    id: StreamId,
    commands: mpsc::Sender<Command>,
    lookup: Arc<Lookup>,
    tickets: Arc<TicketKeys>,
}

/// What the counter has for a stream, in order. It ends when this process is no longer the leader.
pub(crate) type Answers = mpsc::UnboundedReceiver<Outgoing>;

impl Counter {
    /// A counter that has not started.
    pub(crate) fn new(store: Arc<Store>, tickets: Arc<TicketKeys>, marks: Arc<Marks>) -> Self {
        Self {
            commands: RwLock::default(),
            lookup: Arc::new(Lookup::start(store)),
            tickets,
            marks,
        }
    }

    /// Starts to count. For the protocol this is a restart of the service (rule 5 of
    /// `crates/counter/PROTOCOL.md`).
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(crate) fn start(&self) -> io::Result<()> {
        let (commands, received) = mpsc::channel(MAX_COMMANDS);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let worker = Worker::new(self.marks.clone());
        std::thread::Builder::new()
            .name("counter".to_owned())
            .spawn(move || runtime.block_on(worker.run(received)))?;
        *self
            .commands
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(commands);
        Ok(())
    }

    /// Stops counting: ends all streams, and forgets what they counted.
    pub(crate) async fn stop(&self) {
        let commands = self
            .commands
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(commands) = commands {
            // A thread that has ended needs no stop.
            let _ = commands.send(Command::Stop).await;
        }
    }

    fn commands(&self) -> Result<mpsc::Sender<Command>, NotLeader> {
        let commands = self.commands.read().unwrap_or_else(PoisonError::into_inner);
        commands.clone().ok_or(NotLeader)
    }

    /// Whether this process is the leader, the one that counts.
    pub(crate) fn is_leader(&self) -> bool {
        self.commands().is_ok()
    }

    /// Accepts a stream of a node.
    ///
    /// # Errors
    /// [`NotLeader`].
    pub(crate) async fn accept(&self, node: Arc<str>) -> Result<(Stream, Answers), NotLeader> {
        let commands = self.commands()?;
        // The channel has no limit, but its content is bounded: a stream's task has only a number
        // of asks without a verdict at a time, and gives up a stream that takes no message for as
        // long as some ticks, each of which has one.
        let (sender, answers) = mpsc::unbounded_channel();
        let (reply, accepted) = oneshot::channel();
        let command = Command::Accept {
            node,
            outgoing: sender,
            reply,
        };
        commands.send(command).await.map_err(|_| NotLeader)?;
        let stream = Stream {
            id: accepted.await.map_err(|_| NotLeader)?,
            commands,
            lookup: self.lookup.clone(),
            tickets: self.tickets.clone(),
        };
        Ok((stream, answers))
    }

    /// The number of an account's devices that are connected now.
    ///
    /// # Errors
    /// [`NotLeader`].
    pub(crate) async fn devices(&self, account: AccountId) -> Result<u8, NotLeader> {
        let (reply, devices) = oneshot::channel();
        let command = Command::Devices { account, reply };
        let sent = self.commands()?.send(command).await;
        sent.map_err(|_| NotLeader)?;
        devices.await.map_err(|_| NotLeader)
    }

    /// The accounts that have connected devices now.
    ///
    /// # Errors
    /// [`NotLeader`].
    pub(crate) async fn accounts(&self) -> Result<Vec<AccountId>, NotLeader> {
        let (reply, accounts) = oneshot::channel();
        let sent = self.commands()?.send(Command::Accounts { reply }).await;
        sent.map_err(|_| NotLeader)?;
        accounts.await.map_err(|_| NotLeader)
    }

    /// Closes the streams that count devices of these accounts, which have been erased, so that
    /// their nodes report again.
    ///
    /// # Errors
    /// [`NotLeader`].
    pub(crate) async fn erased(&self, accounts: Vec<AccountId>) -> Result<(), NotLeader> {
        let sent = self.commands()?.send(Command::Erased { accounts }).await;
        sent.map_err(|_| NotLeader)
    }
}

impl Stream {
    /// Messages of the node have arrived: hands their frames to the counter, in their order.
    pub(crate) async fn submit(&self, frames: Vec<NodeFrame>) {
        let mut incoming: Vec<Incoming> =
            frames.into_iter().map(|frame| self.open(frame)).collect();
        let asking = incoming.iter().filter(|incoming| incoming.asks());
        let asking: Vec<AccountId> = asking.filter_map(|incoming| incoming.account).collect();
        if !asking.is_empty() {
            let known = self.lookup.known(asking).await;
            incoming
                .iter_mut()
                .for_each(|incoming| identify(incoming, &known));
        }
        let command = Command::Frames {
            stream: self.id,
            incoming,
        };
        self.tell(command).await;
    }

    /// A message has arrived that cannot be read.
    pub(crate) async fn unreadable(&self) {
        self.tell(Command::Unreadable { stream: self.id }).await;
    }

    /// Asks the node to drain, or to admit again.
    pub(crate) async fn drain(&self, on: bool) {
        self.tell(Command::Drain {
            stream: self.id,
            on,
        })
        .await;
    }

    /// Tells the counter that the connection has ended.
    pub(crate) async fn closed(self) {
        self.tell(Command::Closed { stream: self.id }).await;
    }

    async fn tell(&self, command: Command) {
        // A counter that has stopped has forgotten the stream. The end of its answers says so.
        let _ = self.commands.send(command).await;
    }

    /// Opens the ticket of a report. An expired ticket has an account for a -1, but not for a +1.
    fn open(&self, frame: NodeFrame) -> Incoming {
        let account = match &frame {
            NodeFrame::Report { ticket, delta, .. } => self.account_of(ticket, *delta),
            _ => None,
        };
        Incoming {
            frame,
            account,
            is_first: false,
        }
    }

    fn account_of(&self, ticket: &Ticket, delta: Delta) -> Option<AccountId> {
        let opened = self.tickets.open_ticket(ticket)?;
        let counts = delta == Delta::Down || clock::unix_now() < opened.expiry;
        counts.then_some(opened.account)
    }
}

/// Takes the account from a +1 if it has been erased. If the store does not answer, the account
/// stays: it existed when it got the ticket.
fn identify(incoming: &mut Incoming, known: &Known) {
    let (true, Some(account), Some(known)) = (incoming.asks(), incoming.account, known) else {
        return;
    };
    let connected = known.get(&account).copied();
    incoming.account = connected.map(|_| account);
    incoming.is_first = connected == Some(false);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use mayfly_wire::TICKET_LEN;

    use super::*;

    fn ask(account: AccountId) -> Incoming {
        let frame = NodeFrame::Report {
            n: 0,
            ticket: Ticket([0; TICKET_LEN]),
            delta: Delta::Up,
        };
        Incoming {
            frame,
            account: Some(account),
            is_first: false,
        }
    }

    #[test]
    fn who_has_been_erased_is_nobody_and_a_store_that_is_silent_denies_nobody() {
        let [ann, bob, cid] = [1, 2, 3].map(|byte| AccountId([byte; 16]));
        let known = Some(Arc::new(HashMap::from([(ann, false), (bob, true)])));
        for (account, known, expected) in [
            (ann, &known, (Some(ann), true)),
            (bob, &known, (Some(bob), false)),
            (cid, &known, (None, false)),
            (cid, &None, (Some(cid), false)),
        ] {
            let mut incoming = ask(account);
            identify(&mut incoming, known);
            assert_eq!((incoming.account, incoming.is_first), expected);
        }
    }
}
