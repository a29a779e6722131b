//! The account service's end. "Rule N" is rule N of `crates/counter/PROTOCOL.md`.

mod ledger;
mod node;
mod stream;
mod timers;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use mayfly_wire::counter::{Delta, Epoch, NodeFrame, ServiceFrame, VERSION};

use crate::CloseReason;
use crate::constants::{MAX_DEVICES, REPLAYS_AT_A_TIME, RESTART_AT_MOST, RESTART_WINDOW};
use ledger::Ledger;
use node::Node;
use stream::{Stage, Stream};
use timers::Timers;

/// A stream, numbered in the order in which the service accepted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u64);

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message with these frames on a stream.
    Send(StreamId, Vec<ServiceFrame>),
    /// Close a stream. The ledgers treat it as closed already.
    Close(StreamId, CloseReason),
}

/// How many devices of each account each node counts, and how many an account has in all.
///
/// `A` names an account. The caller opens tickets, and says with each report which account it is
/// for, or that it cannot tell.
///
/// - Getters: [`devices`](Self::devices), [`accounts`](Self::accounts).
/// - Inputs: [`accept`](Self::accept), [`drain`](Self::drain),
///   [`handle_message`](Self::handle_message) and then [`handle_frame`](Self::handle_frame) for
///   each of its frames, [`handle_unreadable`](Self::handle_unreadable),
///   [`handle_close`](Self::handle_close), [`handle_erased`](Self::handle_erased), and
///   [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
/// - After any of them: drain [`poll_output`](Self::poll_output), in order.
///
/// `now` never goes back. Nothing in here is stored: after a restart the ledgers are empty, and the
/// nodes fill them again.
pub struct Ledgers<A> {
    restarted: Instant,
    accepted: u64,
    streams: BTreeMap<StreamId, Stream<A>>,
    nodes: HashMap<Box<str>, Node<A>>,
    /// The streams that have said hello and wait for their welcome.
    waiting: BTreeSet<StreamId>,
    /// How many streams replay. At most [`REPLAYS_AT_A_TIME`].
    replaying: usize,
    /// Seconds since 1970, as they were last told.
    clock: (u64, Instant),
    /// The sum over all ledgers and credits.
    totals: Ledger<A>,
    outputs: VecDeque<Output>,
    stream_timers: Timers<StreamId>,
    /// When grace ends. An entry whose grace was stopped in the meantime is skipped.
    grace_timers: Timers<Box<str>>,
}

impl<A: Copy + Eq + Hash> Ledgers<A> {
    /// A service that has just started. The window of rule 5 begins now.
    pub fn new(now: Instant) -> Self {
        Self {
            restarted: now,
            accepted: 0,
            streams: BTreeMap::new(),
            nodes: HashMap::new(),
            waiting: BTreeSet::new(),
            replaying: 0,
            clock: (0, now),
            totals: Ledger::default(),
            outputs: VecDeque::new(),
            stream_timers: Timers::default(),
            grace_timers: Timers::default(),
        }
    }

    /// How many devices of an account count: 0 to [`MAX_DEVICES`].
    pub fn devices(&self, account: &A) -> u8 {
        self.totals.count(account)
    }

    /// The accounts that have devices, in no order.
    pub fn accounts(&self) -> impl Iterator<Item = A> {
        self.totals.accounts()
    }

    /// A node has opened a stream. `node` is the name in its certificate.
    pub fn accept(&mut self, node: &str, now: Instant) -> StreamId {
        let id = StreamId(self.accepted);
        self.accepted += 1;
        let stream = Stream::new(node, now);
        self.stream_timers.set(stream.timeout(), id);
        self.streams.insert(id, stream);
        id
    }

    /// Asks the stream's node to drain, or to admit again.
    pub fn drain(&mut self, id: StreamId, on: bool) {
        self.send(id, ServiceFrame::Drain { on });
    }

    /// A message has arrived. Its frames, if it has any, come by [`handle_frame`](Self::handle_frame).
    pub fn handle_message(&mut self, id: StreamId, now: Instant) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.alive.handle_received(now);
        }
    }

    /// Takes a frame. `account` is the account of a report's ticket. For a +1 it is `None` if the
    /// ticket does not open, has expired, or its account is erased. For a -1 it is `None` if the
    /// ticket does not open. `time` is for a `welcome`, in seconds since 1970. A frame that the
    /// protocol does not allow closes the stream. Frames of a closed stream are ignored.
    ///
    /// Returns whether it was a +1 that is granted.
    pub fn handle_frame(
        &mut self,
        id: StreamId,
        frame: NodeFrame,
        account: Option<A>,
        time: u64,
        now: Instant,
    ) -> bool {
        let Some(stream) = self.streams.get(&id) else {
            return false;
        };
        let done = match (frame, stream.stage) {
            (NodeFrame::Hello { version, .. }, Stage::Accepted) if version != VERSION => {
                Err(CloseReason::Version)
            }
            (NodeFrame::Hello { epoch, .. }, Stage::Accepted) => {
                self.handle_hello(id, epoch, time, now).map(|()| false)
            }
            (NodeFrame::Report { n, delta, .. }, Stage::Replaying | Stage::Synced) => {
                self.handle_report(id, n, account, delta, now)
            }
            (NodeFrame::Synced {}, Stage::Replaying) => {
                self.handle_synced(id, now);
                Ok(false)
            }
            _ => Err(CloseReason::Protocol),
        };
        done.unwrap_or_else(|reason| {
            self.close(id, reason, now);
            false
        })
    }

    /// A message has arrived that is not one of this version of the protocol. It closes the
    /// stream: with [`CloseReason::Version`] if it is the first.
    pub fn handle_unreadable(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let reason = match stream.stage {
            Stage::Accepted => CloseReason::Version,
            Stage::Waiting | Stage::Replaying | Stage::Synced => CloseReason::Protocol,
        };
        self.close(id, reason, now);
    }

    /// A stream is gone. Its ledger becomes its node's credit (rule 4).
    pub fn handle_close(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        match stream.stage {
            Stage::Accepted => return,
            Stage::Waiting => drop(self.waiting.remove(&id)),
            Stage::Replaying => self.replaying -= 1,
            Stage::Synced => {}
        }
        if let Some(node) = self.nodes.get_mut(&stream.node) {
            let ends = node.stream_died(stream.ledger, now);
            self.grace_timers.set(ends, stream.node);
        }
        self.open_gate(now);
    }

    /// These accounts were erased. Each stream that counts one of their devices is closed, so that
    /// its node reports again and is denied.
    pub fn handle_erased(&mut self, erased: &[A], now: Instant) {
        let counts = |stream: &Stream<A>| erased.iter().any(|one| stream.ledger.count(one) > 0);
        let streams = self.streams.iter().filter(|(_, stream)| counts(stream));
        let streams: Vec<StreamId> = streams.map(|(&id, _)| id).collect();
        for id in streams {
            self.close(id, CloseReason::Recount, now);
        }
    }

    /// Does what is due: sends, closes streams that are silent or not synced, takes credit off.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.stream_timers.take_due(now) {
            self.check_stream(id, now);
        }
        while let Some(name) = self.grace_timers.take_due(now) {
            if let Some(node) = self.nodes.get_mut(&name)
                && node.grace_ends().is_some_and(|at| now >= at)
            {
                self.totals.subtract(&node.take_credit());
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next. It may find nothing due then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timers = [self.stream_timers.next(), self.grace_timers.next()];
        timers.into_iter().flatten().min()
    }

    /// What to do next. `None` if there is nothing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn check_stream(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if let Some(reason) = stream.overdue(now) {
            return self.close(id, reason, now);
        }
        if stream.queue.take_ticks(now) > 0 {
            let messages = stream.queue.take_messages().into_iter();
            let outputs = messages.map(|frames| Output::Send(id, frames));
            self.outputs.extend(outputs);
        }
        self.stream_timers.set(stream.timeout(), id);
    }

    /// Rule 4: a replaced epoch is refused before it can close anything. Otherwise every stream of
    /// the node that was accepted earlier is closed, and its ledger becomes credit.
    fn handle_hello(
        &mut self,
        id: StreamId,
        epoch: Epoch,
        time: u64,
        now: Instant,
    ) -> Result<(), CloseReason> {
        let Some(name) = self.streams.get(&id).map(|stream| stream.node.clone()) else {
            return Ok(());
        };
        let node = self.nodes.entry(name.clone()).or_default();
        node.admit(epoch)?;
        let earlier: Vec<StreamId> = self
            .streams
            .range(..id)
            .filter(|(_, stream)| stream.node == name)
            .map(|(&id, _)| id)
            .collect();
        for earlier in earlier {
            self.close(earlier, CloseReason::Superseded, now);
        }
        if let Some(node) = self.nodes.get_mut(&name) {
            node.stop_grace(now);
        }
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.stage = Stage::Waiting;
        }
        self.waiting.insert(id);
        self.clock = (time, now);
        self.open_gate(now);
        Ok(())
    }

    /// Rule 9: welcomes those that wait, in the order of acceptance, while there is room.
    fn open_gate(&mut self, now: Instant) {
        while self.replaying < REPLAYS_AT_A_TIME
            && let Some(id) = self.waiting.pop_first()
        {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.welcome(now);
                self.replaying += 1;
            }
            let (told, at) = self.clock;
            let time = told + now.duration_since(at).as_secs();
            self.send(id, ServiceFrame::Welcome { time });
        }
    }

    /// Rules 5 and 9: whether the service has restarted so lately that only replays are granted.
    fn has_just_restarted(&self, now: Instant) -> bool {
        let since = now.duration_since(self.restarted);
        since < RESTART_WINDOW || (!self.waiting.is_empty() && since < RESTART_AT_MOST)
    }

    fn handle_report(
        &mut self,
        id: StreamId,
        n: u64,
        account: Option<A>,
        delta: Delta,
        now: Instant,
    ) -> Result<bool, CloseReason> {
        let stream = self.streams.get_mut(&id).ok_or(CloseReason::Protocol)?;
        stream.expect_report(n)?;
        stream.handle_progress(now);
        match (delta, account) {
            (Delta::Up, account) => {
                let granted = account.is_some_and(|account| self.grant(id, account, now));
                self.send(id, ServiceFrame::Verdict { n, granted });
                Ok(granted)
            }
            (Delta::Down, None) => Ok(false),
            (Delta::Down, Some(account)) => {
                if !stream.ledger.remove(account) {
                    return Err(CloseReason::Protocol);
                }
                self.totals.remove(account);
                Ok(false)
            }
        }
    }

    /// Whether a +1 is granted (rules 3, 4 and 5).
    fn grant(&mut self, id: StreamId, account: A, now: Instant) -> bool {
        let just_restarted = self.has_just_restarted(now);
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        let replaying = stream.stage == Stage::Replaying;
        let credited = replaying
            && self
                .nodes
                .get_mut(&stream.node)
                .is_some_and(|node| node.spend_credit(account));
        if credited {
            stream.ledger.add(account);
            return true;
        }
        let may = replaying || !just_restarted;
        let granted = may && self.totals.count(&account) < MAX_DEVICES;
        if granted {
            stream.ledger.add(account);
            self.totals.add(account);
        }
        granted
    }

    /// Rule 4: what was not replayed has ended.
    fn handle_synced(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.stage = Stage::Synced;
        self.replaying -= 1;
        if let Some(node) = self.nodes.get_mut(&stream.node) {
            self.totals.subtract(&node.take_credit());
        }
        self.open_gate(now);
    }

    fn close(&mut self, id: StreamId, reason: CloseReason, now: Instant) {
        self.handle_close(id, now);
        self.outputs.push_back(Output::Close(id, reason));
    }

    /// Has a frame sent at the stream's next tick.
    fn send(&mut self, id: StreamId, frame: ServiceFrame) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.queue.push(frame);
        }
    }
}
