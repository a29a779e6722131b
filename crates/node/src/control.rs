//! The control thread's state: who is enrolled, who is live, and what the counter hears of it.
//!
//! Requests, the packet thread's notices and the counter stream's frames meet here. Nothing
//! in it waits: what must be sent to the service is polled from the [`Reporter`], what the
//! packet thread must do is queued.

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;

use mayfly_counter::constants::RENEWAL_GRACE;
use mayfly_counter::node::Reporter;
use mayfly_wire::enrol::{EnrolRequest, EnrolResponse};
use mayfly_wire::{PresharedKey, PublicKey};

use crate::clock::Clock;
use crate::datapath::{Command, Commands, Notice};
use crate::enrolment::{Change, EnrolmentId, Registry};
use crate::offer::Offer;
use crate::refusal::Refusal;
use crate::settings::WhenUnreachable;
use crate::status::Status;
use crate::token::Verifier;

/// Why nobody is admitted any more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    Stopping,
    IdentityClash,
}

/// How the counter stream is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Up since then.
    Up(Instant),
    /// Down.
    Away,
    /// Down, for the service's certificate is not valid by the node's clock.
    Clock,
}

/// One session of an enrolment. No session has the id of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(u64);

/// See the module.
pub struct Control {
    registry: Registry,
    verifier: Verifier,
    offer: Offer,
    /// The counter protocol, whose shell is the counter stream.
    pub reporter: Reporter<SessionId>,
    sessions: HashMap<EnrolmentId, SessionId>,
    enrolments: HashMap<SessionId, EnrolmentId>,
    next_session: u64,
    commands: Commands,
    clock: Clock,
    when_unreachable: WhenUnreachable,
    reach: Reach,
    /// The operator wants the node empty.
    drains: bool,
    closed: Option<Closed>,
    /// Told when the reporter has something to do.
    pub reports: Rc<Notify>,
    /// Told when the reporter has done something.
    pub settled: Rc<Notify>,
}

/// What a control is made of.
pub struct Parts {
    /// Who is enrolled.
    pub registry: Registry,
    /// Whose tokens are taken.
    pub verifier: Verifier,
    /// What clients are told.
    pub offer: Offer,
    /// The counter protocol.
    pub reporter: Reporter<SessionId>,
    /// To the packet thread.
    pub commands: Commands,
    /// The node's clock.
    pub clock: Clock,
    /// Whether new sessions are admitted while the service is out of reach.
    pub when_unreachable: WhenUnreachable,
}

impl Control {
    /// Nobody enrolled, and the account service not yet reached.
    pub fn new(parts: Parts) -> Self {
        Self {
            registry: parts.registry,
            verifier: parts.verifier,
            offer: parts.offer,
            reporter: parts.reporter,
            sessions: HashMap::new(),
            enrolments: HashMap::new(),
            next_session: 0,
            commands: parts.commands,
            clock: parts.clock,
            when_unreachable: parts.when_unreachable,
            reach: Reach::Away,
            drains: false,
            closed: None,
            reports: Rc::default(),
            settled: Rc::default(),
        }
    }

    /// Enrols a client, or extends its enrolment. `local` is the address that it came to.
    ///
    /// # Errors
    /// Any [`Refusal`] of the state, the token or the key; nothing has changed then.
    pub fn enrol(
        &mut self,
        asked: &EnrolRequest,
        bearer: Option<&PresharedKey>,
        local: Option<IpAddr>,
        now: Instant,
    ) -> Result<EnrolResponse, Refusal> {
        self.admits()?;
        let claims = self
            .verifier
            .verify(&asked.token, self.clock.unix_seconds())?;
        let (granted, changes) = self
            .registry
            .enrol(&claims, asked.public_key, bearer, now)?;
        self.apply(changes, now);
        Ok(self.offer.to(granted, local))
    }

    /// Ends an enrolment.
    ///
    /// # Errors
    /// `NotThePeer`.
    pub fn release(
        &mut self,
        key: PublicKey,
        bearer: Option<&PresharedKey>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let change = self.registry.release(key, bearer)?;
        self.apply([change], now);
        Ok(())
    }

    /// Takes a notice of the packet thread.
    pub fn handle_notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::SessionUp(id) => self.session_up(id, now),
            Notice::SessionDown(id) => self.session_down(id, now),
        }
    }

    /// The counter stream came up, or is down.
    pub fn handle_reach(&mut self, reach: Reach) {
        self.reach = reach;
    }

    /// The operator wants the node empty, or not any more: who is enrolled stays so until the
    /// token ends.
    pub fn handle_drain(&mut self, on: bool) {
        self.drains = on;
    }

    /// A session was finally denied: it ends with its enrolment, and its key is barred.
    pub fn deny(&mut self, session: SessionId, now: Instant) {
        let id = self.enrolments.get(&session).copied();
        let change = id.and_then(|id| self.registry.deny(id, now));
        self.apply(change, now);
    }

    /// Ends what is due; wants to be called every few seconds.
    pub fn handle_tick(&mut self, now: Instant) {
        let in_reach =
            matches!(self.reach, Reach::Up(since) if now.duration_since(since) >= RENEWAL_GRACE);
        let sessions = &self.sessions;
        let ended = self.registry.expire(self.clock.unix_seconds(), |id| {
            !in_reach && sessions.contains_key(&id)
        });
        self.apply(ended, now);
    }

    /// Stops admission and ends every session with its -1: the node is about to stop.
    pub fn stop(&mut self, now: Instant) {
        self.closed.get_or_insert(Closed::Stopping);
        self.end_all(now);
    }

    /// Stops for good: another machine has this node's identity.
    pub fn handle_replaced(&mut self, now: Instant) {
        self.closed = Some(Closed::IdentityClash);
        self.end_all(now);
    }

    /// Whether the service has been told all there is to tell, or is out of reach.
    pub fn is_settled(&self) -> bool {
        !matches!(self.reach, Reach::Up(_)) || self.reporter.is_settled()
    }

    /// The node's state in one word, the gravest.
    pub fn status(&self) -> Status {
        match (self.closed, self.reach) {
            (Some(Closed::IdentityClash), _) => Status::IdentityClash,
            (Some(Closed::Stopping), _) => Status::Draining,
            (None, _) if self.drains => Status::Draining,
            (None, Reach::Clock) => Status::Clock,
            (None, Reach::Away) => Status::CounterAway,
            (None, Reach::Up(_)) if self.registry.is_full() => Status::PoolFull,
            (None, Reach::Up(_)) => Status::Ok,
        }
    }

    fn admits(&self) -> Result<(), Refusal> {
        match self.closed {
            Some(Closed::Stopping) => Err(Refusal::Draining),
            Some(Closed::IdentityClash) => Err(Refusal::IdentityClash),
            None if self.drains => Err(Refusal::Draining),
            None if self.turns_away() => Err(Refusal::AccountsAway),
            None => Ok(()),
        }
    }

    /// Whether new sessions are refused as nobody would count them.
    fn turns_away(&self) -> bool {
        self.when_unreachable == WhenUnreachable::Refuse && !matches!(self.reach, Reach::Up(_))
    }

    fn session_up(&mut self, id: EnrolmentId, now: Instant) {
        // It may have been released while the notice was under way.
        let Some(ticket) = self.registry.ticket(id) else {
            return;
        };
        if self.turns_away() {
            return self.commands.send(Command::End(id));
        }
        let session = SessionId(self.next_session);
        self.next_session += 1;
        self.sessions.insert(id, session);
        self.enrolments.insert(session, id);
        self.reporter.session_up(session, ticket, now);
        self.reports.notify_one();
    }

    fn session_down(&mut self, id: EnrolmentId, now: Instant) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.enrolments.remove(&session);
        self.reporter.session_down(session, now);
        self.reports.notify_one();
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>, now: Instant) {
        for change in changes {
            match change {
                Change::Add(id, peer) => self.commands.send(Command::Add(id, peer)),
                Change::Remove(id) => {
                    self.session_down(id, now);
                    self.commands.send(Command::Remove(id));
                }
                Change::Renew(id, ticket) => {
                    if let Some(session) = self.sessions.get(&id) {
                        self.reporter.renew(*session, ticket);
                    }
                }
            }
        }
    }

    fn end_all(&mut self, now: Instant) {
        let all = self.registry.expire(u64::MAX, |_| false);
        self.apply(all, now);
    }
}

#[cfg(test)]
mod tests;
