//! The thread that owns the ledgers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::Ticket;
use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::Outgoing;
use super::granted::Granted;
use crate::core::clock;
use crate::core::record::AccountId;
use crate::store::marks::Marks;

/// What streams and requests ask of the counter.
pub(super) enum Command {
    Accept {
        node: Arc<str>,
        outgoing: mpsc::UnboundedSender<Outgoing>,
        reply: oneshot::Sender<StreamId>,
    },
    Frames {
        stream: StreamId,
        incoming: Vec<Incoming>,
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
    /// Another process counts.
    Stop,
}

/// What a node said.
pub(super) struct Incoming {
    pub(super) frame: NodeFrame,
    /// Whose ticket a report carries. Nobody's +1 is denied.
    pub(super) account: Option<AccountId>,
    /// As far as the store knows, the account has never connected.
    pub(super) is_first: bool,
}

impl Incoming {
    /// Whether it is a +1.
    pub(super) const fn asks(&self) -> bool {
        let NodeFrame::Report { delta, .. } = self.frame else {
            return false;
        };
        matches!(delta, Delta::Up)
    }

    /// What a grant has to note.
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

/// Who asks for a device.
#[derive(Clone, Copy)]
struct Ask {
    ticket: Ticket,
    account: AccountId,
    is_first: bool,
}

/// Commands that are obeyed before the timers are looked at again.
const BATCH: usize = 64;

/// A stream that has not been closed.
struct Open {
    outgoing: mpsc::UnboundedSender<Outgoing>,
    granted: Granted,
}

/// The ledgers, and what stands around them.
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

    /// Works until it is told to stop, or nobody is left to ask. Streams hear of the end.
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
            // Also under load, when there is always another command.
            if due.is_some_and(|at| at <= Instant::now()) {
                self.ledgers.handle_timeout(Instant::now());
                self.drain_outputs(None);
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
                // A stream that has gone meanwhile is found dead by its silence.
                let _ = reply.send(stream);
            }
            Command::Frames { stream, incoming } => {
                for incoming in incoming {
                    self.handle(stream, &incoming, now);
                }
            }
            Command::Closed { stream } => {
                self.streams.remove(&stream);
                self.ledgers.handle_close(stream, now);
                self.drain_outputs(None);
            }
            Command::Devices { account, reply } => {
                let _ = reply.send(self.ledgers.devices(&account));
            }
            Command::Accounts { reply } => {
                let _ = reply.send(self.ledgers.accounts().collect());
            }
            Command::Erased { accounts } => {
                self.ledgers.handle_erased(&accounts, now);
                self.drain_outputs(None);
            }
            // It has ended the work.
            Command::Stop => {}
        }
    }

    fn handle(&mut self, stream: StreamId, incoming: &Incoming, now: Instant) {
        let account = self
            .granted_to(stream, &incoming.frame)
            .or(incoming.account);
        self.ledgers
            .handle_frame(stream, incoming.frame, account, clock::unix_now(), now);
        self.drain_outputs(incoming.ask());
    }

    /// Whose -1 this is, if a device was granted under its ticket here: also when the ticket
    /// opens no more.
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

    /// Passes on what the ledgers say; a grant among it is the ask's.
    fn drain_outputs(&mut self, ask: Option<Ask>) {
        while let Some(output) = self.ledgers.poll_output() {
            match output {
                Output::Send(stream, frame) => {
                    if let (ServiceFrame::Verdict { granted: true, .. }, Some(ask)) = (frame, ask) {
                        self.grant(stream, ask);
                    }
                    self.send(stream, Outgoing::Frame(frame));
                }
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
        // A stream that has gone says so itself.
        let _ = self
            .streams
            .get(&stream)
            .map(|open| open.outgoing.send(outgoing));
    }
}

#[cfg(test)]
mod tests {
    use mayfly_wire::TICKET_LEN;
    use mayfly_wire::counter::Epoch;

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
        let epoch = Epoch([1; 16]);
        receive(&mut worker, stream, NodeFrame::Hello { epoch }, None);
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
