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
use crate::clock;
use crate::marks::Marks;
use crate::record::AccountId;
use crate::store::Store;

/// What streams and requests ask of the counter.
pub(super) enum Command {
    Accept {
        node: Arc<str>,
        said: mpsc::UnboundedSender<Said>,
        reply: oneshot::Sender<StreamId>,
    },
    Frame {
        stream: StreamId,
        frame: NodeFrame,
        account: Option<AccountId>,
    },
    Closed {
        stream: StreamId,
    },
    Devices {
        account: AccountId,
        reply: oneshot::Sender<u8>,
    },
}

/// Commands that are obeyed before the timers are looked at again.
const BATCH: usize = 256;

/// A stream that has not been closed.
struct Open {
    said: mpsc::UnboundedSender<Said>,
    granted: Granted,
}

/// The ledgers, and what stands around them.
pub(super) struct Worker {
    ledgers: Ledgers<AccountId>,
    streams: HashMap<StreamId, Open>,
    store: Store,
    marks: Arc<Marks>,
}

impl Worker {
    pub(super) fn new(store: Store, marks: Arc<Marks>) -> Self {
        Self {
            ledgers: Ledgers::new(Instant::now()),
            streams: HashMap::new(),
            store,
            marks,
        }
    }

    /// Works until nobody is left to ask.
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
            Command::Frame {
                stream,
                frame,
                account,
            } => self.hear(stream, frame, account, now),
            Command::Closed { stream } => {
                self.streams.remove(&stream);
                self.ledgers.handle_close(stream, now);
                self.speak(None);
            }
            Command::Devices { account, reply } => {
                let _ = reply.send(self.ledgers.devices(&account));
            }
        }
    }

    fn hear(
        &mut self,
        stream: StreamId,
        frame: NodeFrame,
        opened: Option<AccountId>,
        now: Instant,
    ) {
        let asker = self.asker(&frame, opened);
        let account = asker.map(|(_, account)| account);
        let account = account.or_else(|| self.leaver(stream, &frame, opened));
        let time = clock::unix_now();
        self.ledgers.handle_frame(stream, frame, account, time, now);
        self.speak(asker);
    }

    /// Whose +1 this is: of an account that has not been erased.
    fn asker(&self, frame: &NodeFrame, opened: Option<AccountId>) -> Option<(Ticket, AccountId)> {
        let NodeFrame::Report {
            ticket,
            delta: Delta::Up,
            ..
        } = *frame
        else {
            return None;
        };
        // A store that does not answer denies nobody: the account was there when it was
        // given the ticket.
        let account = opened.filter(|&id| self.store.exists(id).unwrap_or(true))?;
        Some((ticket, account))
    }

    /// Whose -1 this is, erased or not.
    fn leaver(
        &mut self,
        stream: StreamId,
        frame: &NodeFrame,
        opened: Option<AccountId>,
    ) -> Option<AccountId> {
        let NodeFrame::Report {
            ticket,
            delta: Delta::Down,
            ..
        } = frame
        else {
            return None;
        };
        let granted = &mut self.streams.get_mut(&stream)?.granted;
        granted.take(ticket).or(opened)
    }

    /// Passes on what the ledgers say; a grant among it is the asker's.
    fn speak(&mut self, asker: Option<(Ticket, AccountId)>) {
        while let Some(output) = self.ledgers.poll_output() {
            match output {
                Output::Send(stream, frame) => {
                    if let (ServiceFrame::Verdict { granted: true, .. }, Some((ticket, account))) =
                        (frame, asker)
                    {
                        self.grant(stream, &ticket, account);
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

    fn grant(&mut self, stream: StreamId, ticket: &Ticket, account: AccountId) {
        self.marks.connected(account);
        if let Some(open) = self.streams.get_mut(&stream) {
            open.granted.put(ticket, account);
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
    use crate::accounts::{new_account, plain_sign_up};
    use crate::record::PasswordHash;

    const TICKET: Ticket = Ticket([3; TICKET_LEN]);

    /// A worker with one account, and a stream that has said hello.
    fn worker() -> (tempfile::TempDir, Worker, StreamId, AccountId) {
        let directory = tempfile::TempDir::new().unwrap();
        let store = Store::open(&directory.path().join("accounts.db")).unwrap();
        let sign_up = plain_sign_up("ann".to_owned(), String::new());
        let account = new_account(sign_up, PasswordHash(String::new()), 0).unwrap();
        store.create(&account).unwrap();
        let mut worker = Worker::new(store, Arc::default());
        let (said, _) = mpsc::unbounded_channel();
        let (reply, mut accepted) = oneshot::channel();
        worker.obey(Command::Accept {
            node: "node-1".into(),
            said,
            reply,
        });
        let stream = accepted.try_recv().unwrap();
        let epoch = Epoch([1; 16]);
        worker.obey(Command::Frame {
            stream,
            frame: NodeFrame::Hello { epoch },
            account: None,
        });
        (directory, worker, stream, account.id)
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
        worker.obey(Command::Frame {
            stream,
            frame,
            account,
        });
    }

    #[test]
    fn a_device_is_taken_back_although_the_key_of_its_ticket_is_gone() {
        let (_directory, mut worker, stream, ann) = worker();
        report(&mut worker, stream, 0, Delta::Up, Some(ann));
        assert_eq!(worker.ledgers.devices(&ann), 1);
        report(&mut worker, stream, 1, Delta::Down, None);
        assert_eq!(worker.ledgers.devices(&ann), 0);
    }

    #[test]
    fn an_account_that_has_been_erased_is_denied() {
        let (_directory, mut worker, stream, _) = worker();
        let erased = AccountId([9; 16]);
        report(&mut worker, stream, 0, Delta::Up, Some(erased));
        assert_eq!(worker.ledgers.devices(&erased), 0);
    }
}
