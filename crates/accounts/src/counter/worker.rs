//! The thread that owns the ledgers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::Ticket;
use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::Said;
use super::granted::Granted;
use crate::core::clock;
use crate::core::record::AccountId;
use crate::store::marks::Marks;

/// What streams and requests ask of the counter.
pub(super) enum Command {
    Accept {
        node: Arc<str>,
        said: mpsc::UnboundedSender<Said>,
        reply: oneshot::Sender<StreamId>,
    },
    Frames {
        stream: StreamId,
        heard: Vec<Heard>,
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
pub(super) struct Heard {
    pub(super) frame: NodeFrame,
    /// Whose ticket a report carries. Nobody's +1 is denied.
    pub(super) account: Option<AccountId>,
    /// As far as the store knows, the account has never connected.
    pub(super) is_first: bool,
}

impl Heard {
    /// Whether it is a +1.
    pub(super) const fn asks(&self) -> bool {
        let NodeFrame::Report { delta, .. } = self.frame else {
            return false;
        };
        matches!(delta, Delta::Up)
    }

    /// What a grant has to note.
    fn asker(&self) -> Option<Asker> {
        match self.frame {
            NodeFrame::Report {
                ticket,
                delta: Delta::Up,
                ..
            } => self.account.map(|account| Asker {
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
struct Asker {
    ticket: Ticket,
    account: AccountId,
    is_first: bool,
}

/// Commands that are obeyed before the timers are looked at again.
const BATCH: usize = 64;

/// A stream that has not been closed.
struct Open {
    said: mpsc::UnboundedSender<Said>,
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
                self.obey(command);
            }
            // Also under load, when there is always another command.
            if due.is_some_and(|at| at <= Instant::now()) {
                self.ledgers.handle_timeout(Instant::now());
                self.speak(None);
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let now = Instant::now();
        match command {
            Command::Accept { node, said, reply } => {
                let stream = self.ledgers.accept(&node, now);
                let granted = Granted::default();
                self.streams.insert(stream, Open { said, granted });
                // A stream that has gone meanwhile is found dead by its silence.
                let _ = reply.send(stream);
            }
            Command::Frames { stream, heard } => {
                for heard in heard {
                    self.hear(stream, &heard, now);
                }
            }
            Command::Closed { stream } => {
                self.streams.remove(&stream);
                self.ledgers.handle_close(stream, now);
                self.speak(None);
            }
            Command::Devices { account, reply } => {
                let _ = reply.send(self.ledgers.devices(&account));
            }
            Command::Accounts { reply } => {
                let _ = reply.send(self.ledgers.accounts().collect());
            }
            Command::Erased { accounts } => {
                self.ledgers.handle_erased(&accounts, now);
                self.speak(None);
            }
            // It has ended the work.
            Command::Stop => {}
        }
    }

    fn hear(&mut self, stream: StreamId, heard: &Heard, now: Instant) {
        let account = self.leaver(stream, &heard.frame).or(heard.account);
        self.ledgers
            .handle_frame(stream, heard.frame, account, clock::unix_now(), now);
        self.speak(heard.asker());
    }

    /// Whose -1 this is, if a device was granted under its ticket here: also when the ticket
    /// opens no more.
    fn leaver(&mut self, stream: StreamId, frame: &NodeFrame) -> Option<AccountId> {
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

    /// Passes on what the ledgers say; a grant among it is the asker's.
    fn speak(&mut self, asker: Option<Asker>) {
        while let Some(output) = self.ledgers.poll_output() {
            match output {
                Output::Send(stream, frame) => {
                    if let (ServiceFrame::Verdict { granted: true, .. }, Some(asker)) =
                        (frame, asker)
                    {
                        self.grant(stream, asker);
                    }
                    self.say(stream, Said::Frame(frame));
                }
                Output::Close(stream, reason) => {
                    self.say(stream, Said::Close(reason));
                    self.streams.remove(&stream);
                }
            }
        }
    }

    fn grant(&mut self, stream: StreamId, asker: Asker) {
        if asker.is_first {
            self.marks.connected(asker.account);
        }
        if let Some(open) = self.streams.get_mut(&stream) {
            open.granted.put(&asker.ticket, asker.account);
        }
    }

    fn say(&self, stream: StreamId, said: Said) {
        // A stream that has gone says so itself.
        let _ = self.streams.get(&stream).map(|open| open.said.send(said));
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
        let (said, _) = mpsc::unbounded_channel();
        let (reply, mut accepted) = oneshot::channel();
        worker.obey(Command::Accept {
            node: "node-1".into(),
            said,
            reply,
        });
        let stream = accepted.try_recv().unwrap();
        let epoch = Epoch([1; 16]);
        hear(&mut worker, stream, NodeFrame::Hello { epoch }, None);
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
        hear(worker, stream, frame, account);
    }

    fn hear(worker: &mut Worker, stream: StreamId, frame: NodeFrame, account: Option<AccountId>) {
        let heard = vec![Heard {
            frame,
            account,
            is_first: false,
        }];
        worker.obey(Command::Frames { stream, heard });
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
