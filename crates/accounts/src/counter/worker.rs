//! The thread that owns the ledgers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::Ticket;
use mayfly_wire::counter::{Delta, NodeFrame};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::Outgoing;
use super::granted::Granted;
use crate::core::clock;
use crate::core::record::AccountId;
use crate::store::marks::Marks;

/// A command from a stream or a request to the counter's thread.
pub(super) enum Command {
    Accept {
        node: Arc<str>,
        outgoing: mpsc::UnboundedSender<Outgoing>,
        reply: oneshot::Sender<StreamId>,
    },
    /// The node has sent messages, with these frames in them.
    Frames {
        stream: StreamId,
        incoming: Vec<Incoming>,
    },
    /// The node has sent a message that cannot be read.
    Unreadable {
        stream: StreamId,
    },
    Drain {
        stream: StreamId,
        on: bool,
    },
    Closed {
        stream: StreamId,
    },
    Devices {
        account: AccountId,
        reply: oneshot::Sender<u8>,
    },
    Accounts {
        reply: oneshot::Sender<Vec<AccountId>>,
    },
    Erased {
        accounts: Vec<AccountId>,
    },
    /// This process is no longer the leader.
    Stop,
}

/// A frame of a node.
pub(super) struct Incoming {
    pub(super) frame: NodeFrame,
    /// The account of a report's ticket. A +1 without an account is denied.
    pub(super) account: Option<AccountId>,
    /// Whether, as far as the store knows, the account has never connected.
    pub(super) is_first: bool,
}

impl Incoming {
    /// Whether it is a +1, which asks for a device.
    pub(super) const fn asks(&self) -> bool {
        let NodeFrame::Report { delta, .. } = self.frame else {
            return false;
        };
        matches!(delta, Delta::Up)
    }

    /// The ask, if this is a +1 with an account.
    fn ask(&self) -> Option<Ask> {
        match self.frame {
            NodeFrame::Report {
                ticket,
                delta: Delta::Up,
                ..
            } => self.account.map(|account| Ask {
                ticket,
                account,
                is_first: self.is_first,
            }),
            _ => None,
        }
    }
}

/// A +1 whose account is known.
#[derive(Clone, Copy)]
struct Ask {
    ticket: Ticket,
    account: AccountId,
    is_first: bool,
}

/// The most commands that are applied before the timers are looked at again.
const BATCH: usize = 64;

/// A stream that has not been closed.
struct Open {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    granted: Granted,
}

/// The ledgers, the streams and the marks.
pub(super) struct Worker {
    ledgers: Ledgers<AccountId>,
    streams: HashMap<StreamId, Open>,
    marks: Arc<Marks>,
}

impl Worker {
    pub(super) fn new(marks: Arc<Marks>) -> Self {
        Self {
            ledgers: Ledgers::new(Instant::now()),
            streams: HashMap::new(),
            marks,
        }
    }

    /// Works until [`Command::Stop`], or until no sender of commands is left. Streams see the end
    /// of their channels.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.ledgers.poll_timeout();
            let received = commands.recv_many(&mut batch, BATCH);
            let received = match due {
                Some(at) => timeout_at(at.into(), received).await,
                None => Ok(received.await),
            };
            if received == Ok(0) {
                return;
            }
            for command in batch.drain(..) {
                if matches!(command, Command::Stop) {
                    return;
                }
                self.apply(command);
            }
            // Check under load too, when there is always another command.
            if due.is_some_and(|at| at <= Instant::now()) {
                self.ledgers.handle_timeout(Instant::now());
                self.drain_outputs();
            }
        }
    }

    fn apply(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Accept {
                node,
                outgoing,
                reply,
            } => {
                let stream = self.ledgers.accept(&node, now);
                let granted = Granted::default();
                self.streams.insert(stream, Open { outgoing, granted });
                // A stream that has ended already is found dead by its silence.
                let _ = reply.send(stream);
            }
            Command::Frames { stream, incoming } => {
                self.ledgers.handle_message(stream, now);
                for incoming in incoming {
                    self.handle(stream, &incoming, now);
                }
                self.drain_outputs();
            }
            Command::Unreadable { stream } => {
                self.ledgers.handle_unreadable(stream, now);
                self.drain_outputs();
            }
            Command::Drain { stream, on } => self.ledgers.drain(stream, on),
            Command::Closed { stream } => {
                self.streams.remove(&stream);
                self.ledgers.handle_close(stream, now);
                self.drain_outputs();
            }
            Command::Devices { account, reply } => {
                let _ = reply.send(self.ledgers.devices(&account));
            }
            Command::Accounts { reply } => {
                let _ = reply.send(self.ledgers.accounts().collect());
            }
            Command::Erased { accounts } => {
                self.ledgers.handle_erased(&accounts, now);
                self.drain_outputs();
            }
            // `run` returns on it.
            Command::Stop => {}
        }
    }

    fn handle(&mut self, stream: StreamId, incoming: &Incoming, now: Instant) {
        let account = self
            .granted_to(stream, &incoming.frame)
            .or(incoming.account);
        let granted =
            self.ledgers
                .handle_frame(stream, incoming.frame, account, clock::unix_now(), now);
        if let (true, Some(ask)) = (granted, incoming.ask()) {
            self.grant(stream, ask);
        }
    }

    /// The account of a -1, if a device was granted under its ticket on this stream. This is known
    /// even when the ticket can no longer be opened.
    fn granted_to(&mut self, stream: StreamId, frame: &NodeFrame) -> Option<AccountId> {
        let NodeFrame::Report {
            ticket,
            delta: Delta::Down,
            ..
        } = frame
        else {
            return None;
        };
        self.streams.get_mut(&stream)?.granted.take(ticket)
    }

    /// Sends what the ledgers output.
    fn drain_outputs(&mut self) {
        while let Some(output) = self.ledgers.poll_output() {
            match output {
                Output::Send(stream, frames) => self.send(stream, Outgoing::Message(frames)),
                Output::Close(stream, reason) => {
                    self.send(stream, Outgoing::Close(reason));
                    self.streams.remove(&stream);
                }
            }
        }
    }

    fn grant(&mut self, stream: StreamId, ask: Ask) {
        if ask.is_first {
            self.marks.connected(ask.account);
        }
        if let Some(open) = self.streams.get_mut(&stream) {
            open.granted.put(&ask.ticket, ask.account);
        }
    }

    fn send(&self, stream: StreamId, outgoing: Outgoing) {
        // A stream that has ended sends `Closed` itself.
        let _ = self
            .streams
            .get(&stream)
            .map(|open| open.outgoing.send(outgoing));
    }
}

#[cfg(test)]
mod tests {
    use mayfly_wire::TICKET_LEN;
    use mayfly_wire::counter::{Epoch, VERSION};

    use super::*;

    const TICKET: Ticket = Ticket([3; TICKET_LEN]);
    const ANN: AccountId = AccountId([1; 16]);

    /// A worker, and a stream that has said hello.
    fn worker() -> (Worker, StreamId) {
        let mut worker = Worker::new(Arc::default());
        let (outgoing, _) = mpsc::unbounded_channel();
        let (reply, mut accepted) = oneshot::channel();
        worker.apply(Command::Accept {
            node: "node-1".into(),
            outgoing,
            reply,
        });
        let stream = accepted.try_recv().unwrap();
        let hello = NodeFrame::Hello {
            version: VERSION,
            epoch: Epoch([1; 16]),
        };
        receive(&mut worker, stream, hello, None);
        (worker, stream)
    }

    fn report(
        worker: &mut Worker,
        stream: StreamId,
        n: u64,
        delta: Delta,
        account: Option<AccountId>,
    ) {
        let frame = NodeFrame::Report {
            n,
            ticket: TICKET,
            delta,
        };
        receive(worker, stream, frame, account);
    }

    fn receive(
        worker: &mut Worker,
        stream: StreamId,
        frame: NodeFrame,
        account: Option<AccountId>,
    ) {
        let incoming = vec![Incoming {
            frame,
            account,
            is_first: false,
        }];
        worker.apply(Command::Frames { stream, incoming });
    }

    #[test]
    fn a_device_is_taken_back_although_the_key_of_its_ticket_is_gone() {
        let (mut worker, stream) = worker();
        report(&mut worker, stream, 0, Delta::Up, Some(ANN));
        assert_eq!(worker.ledgers.devices(&ANN), 1);
        report(&mut worker, stream, 1, Delta::Down, None);
        assert_eq!(worker.ledgers.devices(&ANN), 0);
    }
}
