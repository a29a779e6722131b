//! A node's end. "Rule N" is rule N of `crates/counter/PROTOCOL.md`.

mod agenda;
mod link;
mod session;

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use mayfly_wire::Ticket;
use mayfly_wire::counter::{Delta, Epoch, NodeFrame, ServiceFrame, VERSION};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use crate::CloseReason;
use crate::constants::FINAL_AFTER;
use crate::send_queue::SendQueue;
use agenda::Agenda;
use link::{Link, Pacer};
use session::{Ending, Session, Standing};

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action<Id> {
    /// Open a connection, then call [`Reporter::handle_connected`] or `handle_disconnected`.
    Connect,
    /// Send a message with these frames on the connection.
    Send(Vec<NodeFrame>),
    /// Close the connection. The reporter treats it as closed already.
    Disconnect,
    /// End this session and its enrolment, and refuse its key for
    /// [`KEY_REFUSED_FOR`](crate::constants::KEY_REFUSED_FOR): this was its last denial (rule 6).
    End(Id),
    /// The service's clock, in seconds since 1970.
    Clock(u64),
    /// Whether to admit no one and renew nothing from now on. Sessions go on.
    Drain(bool),
    /// Another machine has this node's identity: drain and stay down. No `Connect` follows this.
    Replaced,
}

/// A node's end of the counter protocol.
///
/// `Id` is the caller's name for a session. It must never name another one, not even after the
/// session has ended: the verdict for it may still be pending then.
///
/// - Getters: [`is_in_reach`](Self::is_in_reach), [`is_settled`](Self::is_settled).
/// - Commands: [`session_up`](Self::session_up), [`session_down`](Self::session_down),
///   [`session_silent`](Self::session_silent), [`renew`](Self::renew),
///   [`tell_all_ends`](Self::tell_all_ends).
/// - Inputs: [`handle_connected`](Self::handle_connected),
///   [`handle_disconnected`](Self::handle_disconnected),
///   [`handle_message`](Self::handle_message), and
///   [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
/// - After any of them: drain [`poll_action`](Self::poll_action), in order.
///
/// `now` never goes back.
pub struct Reporter<Id> {
    epoch: Epoch,
    random: ChaCha8Rng,
    link: Link,
    pacer: Pacer,
    /// Boxed, because the node's allocator zeroes freed memory, but nothing zeroes a place in a
    /// table that has become free.
    sessions: HashMap<Id, Box<Session>>,
    /// How many sessions have begun.
    started: u64,
    /// Asks without a verdict on this stream, oldest first.
    asked: VecDeque<(u64, Id)>,
    next_report: u64,
    queue: SendQueue<NodeFrame>,
    /// Denied sessions to ask for again, and silent ones to take back.
    agenda: Agenda<Id>,
    /// What the service last said on this stream about draining.
    drain: bool,
    actions: VecDeque<Action<Id>>,
}

impl<Id: Copy + Eq + Hash> Reporter<Id> {
    /// A node that has just booted. Its epoch and all jitter come from `seed`.
    pub fn new(seed: [u8; 32], now: Instant) -> Self {
        let mut random = ChaCha8Rng::from_seed(seed);
        let mut epoch = Epoch([0; 16]);
        random.fill_bytes(&mut epoch.0);
        Self {
            epoch,
            random,
            link: Link::Down { dial_at: now },
            pacer: Pacer::default(),
            sessions: HashMap::new(),
            started: 0,
            asked: VecDeque::new(),
            next_report: 0,
            queue: SendQueue::new(now),
            agenda: Agenda::default(),
            drain: false,
            actions: VecDeque::new(),
        }
    }

    /// Whether the service answers.
    pub fn is_in_reach(&self) -> bool {
        matches!(self.link, Link::Open { .. })
    }

    /// Whether there is nothing left to send and no verdict to wait for, apart from each -1 that
    /// waits for its time.
    pub fn is_settled(&self) -> bool {
        self.asked.is_empty() && self.queue.is_empty() && self.actions.is_empty()
    }

    /// A session began: it will be counted. A session that is known already is left as it is.
    pub fn session_up(&mut self, id: Id, ticket: Ticket, now: Instant) {
        if self.sessions.contains_key(&id) {
            return;
        }
        let session = Session::new(self.started, ticket);
        self.started += 1;
        self.sessions.insert(id, Box::new(session));
        if self.is_in_reach() {
            self.ask(id, now);
        }
    }

    /// A session ended on someone's word: its client's, the account service's, or because its
    /// token ended. If it was not granted on this stream, nothing is sent for it (rule 2). If its
    /// verdict is pending, its -1 follows the grant.
    pub fn session_down(&mut self, id: Id, _now: Instant) {
        self.end(id, Ending::Order);
    }

    /// A session ended by silence: as [`session_down`](Self::session_down), but its -1 is sent up to
    /// [`SILENCE_TOLD_WITHIN`](crate::constants::SILENCE_TOLD_WITHIN) later (rule 8).
    pub fn session_silent(&mut self, id: Id, _now: Instant) {
        self.end(id, Ending::Silence);
    }

    /// The node stops: each -1 that waits for its time leaves at the next tick.
    pub fn tell_all_ends(&mut self) {
        let ended = self
            .sessions
            .iter()
            .filter(|(_, session)| session.ended.is_some());
        let ended: Vec<Id> = ended.map(|(&id, _)| id).collect();
        for id in ended {
            self.end(id, Ending::Order);
        }
    }

    fn end(&mut self, id: Id, ending: Ending) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.ended = Some(ending);
        match session.standing {
            Standing::Asked { .. } => {}
            Standing::Granted { ticket } => self.take_back(id, ticket, ending),
            Standing::Unreported | Standing::Denied { .. } => {
                self.sessions.remove(&id);
            }
        }
    }

    /// Sends the -1 of a granted session that has ended, or enters it for its time.
    fn take_back(&mut self, id: Id, ticket: Ticket, ending: Ending) {
        match ending {
            Ending::Order => {
                self.sessions.remove(&id);
                self.report(ticket, Delta::Down);
            }
            Ending::Silence => {
                let later = session::silence_later(&mut self.random);
                self.agenda.enter(id, later);
            }
        }
    }

    /// The session's enrolment was extended: later asks carry the fresh ticket. Its -1 still
    /// carries the ticket of its last granted +1 (rule 2).
    pub fn renew(&mut self, id: Id, ticket: Ticket) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.ticket = ticket;
        }
    }

    /// The connection that [`Action::Connect`] asked for is open.
    pub fn handle_connected(&mut self, now: Instant) {
        if matches!(self.link, Link::Dialing) {
            self.link = Link::greeted(now);
            self.queue = SendQueue::new(now);
            self.drain = false;
            self.queue.push(NodeFrame::Hello {
                version: VERSION,
                epoch: self.epoch,
            });
        }
    }

    /// The connection is gone, or could not be opened. `code` is the close code, if one was read.
    pub fn handle_disconnected(&mut self, code: Option<u16>, now: Instant) {
        if matches!(self.link, Link::Down { .. } | Link::Replaced) {
            return;
        }
        self.forget_stream();
        if code.and_then(CloseReason::from_code) == Some(CloseReason::EpochReplaced) {
            self.link = Link::Replaced;
            return self.actions.push_back(Action::Replaced);
        }
        self.link = Link::Down {
            dial_at: now + self.pacer.pause(&mut self.random),
        };
    }

    /// Takes a message from the service. A frame in it that the protocol does not allow closes the
    /// stream.
    pub fn handle_message(&mut self, frames: &[ServiceFrame], now: Instant) {
        if let Some(alive) = self.link.alive_mut() {
            alive.handle_received(now);
        }
        for &frame in frames {
            self.handle_frame(frame, now);
        }
    }

    fn handle_frame(&mut self, frame: ServiceFrame, now: Instant) {
        match (frame, &self.link) {
            (_, Link::Down { .. } | Link::Dialing | Link::Replaced) => {}
            (ServiceFrame::Drain { on }, link) => {
                self.drain = on;
                // Until `welcome`, what the last stream said stays in force.
                if matches!(link, Link::Open { .. }) {
                    self.actions.push_back(Action::Drain(on));
                }
            }
            (ServiceFrame::Welcome { time }, Link::Greeted { .. }) => {
                self.handle_welcome(time, now)
            }
            (ServiceFrame::Verdict { n, granted }, Link::Open { .. }) => {
                self.handle_verdict(n, granted, now);
            }
            _ => self.hang_up(now),
        }
    }

    /// Does what is due: dials, sends, asks again, gives up a silent stream.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &self.link {
            Link::Down { dial_at } if now >= *dial_at => {
                self.link = Link::Dialing;
                self.actions.push_back(Action::Connect);
            }
            Link::Greeted { alive } | Link::Open { alive } if alive.is_dead(now) => {
                self.hang_up(now);
            }
            Link::Greeted { .. } | Link::Open { .. } => self.tick(now),
            Link::Down { .. } | Link::Dialing | Link::Replaced => {}
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeout = self.link.timeout()?;
        Some(match self.link {
            Link::Greeted { .. } | Link::Open { .. } => timeout.min(self.queue.timeout()),
            _ => timeout,
        })
    }

    /// What to do next. `None` if there is nothing to do.
    pub fn poll_action(&mut self) -> Option<Action<Id>> {
        let action = self.actions.pop_front();
        if self.actions.is_empty() {
            // Frees its memory, too, which held tickets.
            self.actions = VecDeque::new();
        }
        action
    }

    /// Rule 4: asks first for the sessions last known as granted, in order of start. `synced`
    /// follows, then the others.
    fn handle_welcome(&mut self, time: u64, now: Instant) {
        self.link.open();
        self.pacer.reset();
        self.actions.push_back(Action::Drain(self.drain));
        self.actions.push_back(Action::Clock(time));
        let mut order: Vec<(bool, u64, Id)> = self
            .sessions
            .iter()
            .map(|(&id, session)| (!session.known_granted, session.started, id))
            .collect();
        order.sort_unstable_by_key(|&(later, started, _)| (later, started));
        let replayed = order.partition_point(|&(later, ..)| !later);
        for (place, (_, _, id)) in order.into_iter().enumerate() {
            if place == replayed {
                self.queue.push(NodeFrame::Synced {});
            }
            self.ask(id, now);
        }
        if replayed == self.sessions.len() {
            self.queue.push(NodeFrame::Synced {});
        }
    }

    /// Takes a verdict, which must be for the oldest ask.
    fn handle_verdict(&mut self, n: u64, granted: bool, now: Instant) {
        let due = self.asked.front().copied();
        let Some((_, id)) = due.filter(|&(asked, _)| asked == n) else {
            return self.hang_up(now);
        };
        self.asked.pop_front();
        if self.asked.is_empty() {
            // Frees its memory, too, which tells in which order sessions were asked for.
            self.asked = VecDeque::new();
        }
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let Standing::Asked {
            ticket,
            sent,
            first_denial,
        } = session.standing
        else {
            return;
        };
        session.known_granted = granted;
        match (granted, session.ended) {
            (true, ended) => {
                session.standing = Standing::Granted { ticket };
                if let Some(ending) = ended {
                    self.take_back(id, ticket, ending);
                }
            }
            (false, Some(_)) => {
                self.sessions.remove(&id);
            }
            // Rule 6: this ask was sent long enough after the first denial.
            (false, None) if first_denial.is_some_and(|first| sent >= first + FINAL_AFTER) => {
                self.sessions.remove(&id);
                self.actions.push_back(Action::End(id));
            }
            (false, None) => {
                session.standing = Standing::Denied {
                    first: first_denial.unwrap_or(now),
                };
                let later = session::retry_later(now.duration_since(sent), &mut self.random);
                self.agenda.enter(id, later);
            }
        }
    }

    fn ask(&mut self, id: Id, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let ticket = session.ask(now);
        self.asked.push_back((self.next_report, id));
        self.report(ticket, Delta::Up);
    }

    /// Does what is due at the ticks since the last call, and sends the messages of one tick
    /// (rule 8).
    fn tick(&mut self, now: Instant) {
        let ticks = self.queue.take_ticks(now);
        for _ in 0..ticks {
            for id in self.agenda.tick() {
                self.take_turn(id, now);
            }
        }
        // A link that has not carried the last tick's messages yet gets no more of them.
        if ticks > 0 && !self.is_sending() {
            let messages = self.queue.take_messages();
            self.actions.extend(messages.into_iter().map(Action::Send));
        }
    }

    /// A session is due: asks for it again, or takes it back. It may have ended since it was entered.
    fn take_turn(&mut self, id: Id, now: Instant) {
        match self.sessions.get(&id).map(|session| session.standing) {
            Some(Standing::Denied { .. }) => self.ask(id, now),
            Some(Standing::Granted { .. }) => self.end(id, Ending::Order),
            Some(Standing::Unreported | Standing::Asked { .. }) | None => {}
        }
    }

    fn is_sending(&self) -> bool {
        let mut actions = self.actions.iter();
        actions.any(|action| matches!(action, Action::Send(_)))
    }

    fn report(&mut self, ticket: Ticket, delta: Delta) {
        let n = self.next_report;
        self.next_report += 1;
        self.queue.push(NodeFrame::Report { n, ticket, delta });
    }

    fn hang_up(&mut self, now: Instant) {
        self.handle_disconnected(None, now);
        self.actions.push_back(Action::Disconnect);
    }

    /// What was sent on a stream means nothing on the next one.
    fn forget_stream(&mut self) {
        self.actions
            .retain(|action| !matches!(action, Action::Send(_)));
        self.asked = VecDeque::new();
        self.next_report = 0;
        self.queue = SendQueue::new(self.queue.timeout());
        self.agenda = Agenda::default();
        self.sessions.retain(|_, session| session.ended.is_none());
        for session in self.sessions.values_mut() {
            session.standing = Standing::Unreported;
        }
    }
}
