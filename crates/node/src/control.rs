//! The control thread's state: the enrolments, the live sessions, and what the counter is told.
//!
//! Requests of clients, notices of the packet threads and messages of the account service meet in
//! [`Control`]. It does no I/O and waits for nothing: its shells carry in what happened, and carry
//! out what [`Control::poll_action`] and the command queues of the packet threads say.
//!
//! "Rule N" is rule N of `crates/counter/PROTOCOL.md`.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::sync::Notify;
use zeroize::Zeroizing;

use mayfly_counter::constants::RENEWAL_GRACE;
use mayfly_counter::node::{Action as CounterAction, Reporter};
use mayfly_wire::counter::{NodeFrame, ServiceFrame};
use mayfly_wire::enrol::{EnrolRequest, EnrolResponse};
use mayfly_wire::{PresharedKey, PublicKey};

use crate::client_config::ClientConfig;
use crate::clock::Clock;
use crate::datapath::{Command, Commands, Notice};
use crate::enrolment::{Change, EnrolmentId, Registry, SessionId};
use crate::node_keys::NodeKeys;
use crate::refusal::Refusal;
use crate::settings::{Settings, WhenUnreachable};
use crate::status::Status;
use crate::token::Verifier;

/// What the shell of the counter stream has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Open a connection to the account service, then call [`Control::handle_connection`].
    Connect,
    /// Send a message with these frames on the connection.
    Send(Vec<NodeFrame>),
    /// Close the connection. It counts as closed already.
    Disconnect,
}

/// What happened to the connection to the account service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Connection {
    /// It is open.
    Open,
    /// It could not be opened.
    Failed,
    /// It could not be opened, because the service's certificate is not valid by the node's clock.
    WrongClock,
    /// It is gone, with the close code, if one was read.
    Closed(Option<u16>),
}

/// Whether the account service can be reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reachability {
    /// It has answered, for the first time on this stream, at this time.
    Up(Instant),
    Down,
    /// Its certificate is not valid by the node's clock.
    WrongClock,
}

/// Why no one is admitted for the rest of the process's life.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    Stopping,
    IdentityClash,
}

/// The control thread's state machine.
///
/// - Getters: [`status`](Self::status), [`is_settled`](Self::is_settled).
/// - Requests: [`enrol`](Self::enrol), [`release`](Self::release), [`stop`](Self::stop).
/// - Inputs: [`handle_notice`](Self::handle_notice), [`handle_message`](Self::handle_message),
///   [`handle_connection`](Self::handle_connection),
///   [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout), and
///   [`handle_tick`](Self::handle_tick) every few seconds.
/// - After any of them: drain [`poll_action`](Self::poll_action), in order. A shell that is not the
///   counter stream's leaves that to it: [`woken`](Self::woken) wakes it.
///
/// `now` never goes back.
pub(crate) struct Control {
    registry: Registry,
    node_keys: NodeKeys,
    verifier: Verifier,
    client_config: ClientConfig,
    reporter: Reporter<SessionId>,
    commands: Commands,
    clock: Clock,
    when_unreachable: WhenUnreachable,
    reachability: Reachability,
    /// Whether the operator wants the node empty.
    drains: bool,
    closed: Option<Closed>,
    /// Notified when there may be an action to poll.
    woken: Rc<Notify>,
    /// Notified when all actions have been polled.
    settled: Rc<Notify>,
}

impl Control {
    /// A node with these WireGuard keys, with no one enrolled and the account service not
    /// reached yet. The order of addresses comes from the first seed; the epoch and the jitter of
    /// the counter come from the second.
    pub(crate) fn new(
        settings: &Settings,
        node_keys: NodeKeys,
        commands: Commands,
        clock: Clock,
        seeds: [Zeroizing<[u8; 32]>; 2],
        now: Instant,
    ) -> Self {
        let [addresses, counter] = seeds;
        Self {
            registry: Registry::new(&settings.pools, node_keys.clone(), *addresses, now),
            node_keys: node_keys.clone(),
            verifier: Verifier::new(settings.tokens.keys.get_ref()),
            client_config: ClientConfig::new(settings, node_keys),
            reporter: Reporter::new(*counter, now),
            commands,
            clock,
            when_unreachable: settings.accounts.when_unreachable,
            reachability: Reachability::Down,
            drains: false,
            closed: None,
            woken: Rc::default(),
            settled: Rc::default(),
        }
    }

    /// Enrols a client, or extends its enrolment. `local` is the address that the client connected
    /// to.
    ///
    /// # Errors
    /// The [`Refusal`] of the node's state, the token or the key. Nothing has changed then.
    pub(crate) fn enrol(
        &mut self,
        request: &EnrolRequest,
        bearer: Option<&PresharedKey>,
        local: Option<IpAddr>,
        now: Instant,
    ) -> Result<EnrolResponse, Refusal> {
        self.check_admission()?;
        let claims = self
            .verifier
            .verify(&request.token, self.clock.unix_seconds())?;
        let (enrolled, changes) = self.registry.enrol(&claims, request.public_key, bearer)?;
        self.apply(changes, now);
        Ok(self.client_config.response(enrolled, local))
    }

    /// Ends an enrolment.
    ///
    /// # Errors
    /// `NotThePeer` if `bearer` is not the peer's pre-shared key, or there is no such peer.
    pub(crate) fn release(
        &mut self,
        key: PublicKey,
        bearer: Option<&PresharedKey>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let change = self.registry.release(key, bearer)?;
        self.apply([change], now);
        Ok(())
    }

    /// Takes a notice of a packet thread.
    pub(crate) fn handle_notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::SessionUp(id) => self.session_up(id, now),
            // A packet thread ends a session for silence only.
            Notice::SessionDown(id) => {
                if let Some(session) = self.registry.session_down(id) {
                    self.reporter.session_silent(session, now);
                }
            }
            Notice::Rested(id) => self.registry.rested(id),
        }
    }

    /// Takes a message of the account service, by its frames.
    pub(crate) fn handle_message(&mut self, frames: &[ServiceFrame], now: Instant) {
        self.reporter.handle_message(frames, now);
    }

    /// Takes what happened to the connection to the account service.
    pub(crate) fn handle_connection(&mut self, connection: Connection, now: Instant) {
        self.reachability = match connection {
            Connection::Open => return self.reporter.handle_connected(now),
            Connection::Failed | Connection::Closed(_) => Reachability::Down,
            Connection::WrongClock => Reachability::WrongClock,
        };
        let code = match connection {
            Connection::Closed(code) => code,
            _ => None,
        };
        self.reporter.handle_disconnected(code, now);
    }

    /// Does what the counter has due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        self.reporter.handle_timeout(now);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.reporter.poll_timeout()
    }

    /// What the shell of the counter stream must do next. `None` if there is nothing to do.
    pub(crate) fn poll_action(&mut self, now: Instant) -> Option<Action> {
        while let Some(action) = self.reporter.poll_action() {
            match action {
                CounterAction::Connect => return Some(Action::Connect),
                CounterAction::Send(frames) => return Some(Action::Send(frames)),
                CounterAction::Disconnect => {
                    self.reachability = Reachability::Down;
                    return Some(Action::Disconnect);
                }
                CounterAction::End(session) => self.deny(session, now),
                CounterAction::Clock(seconds) => {
                    self.clock.set(seconds);
                    self.reachability = Reachability::Up(now);
                }
                CounterAction::Drain(on) => self.drains = on,
                CounterAction::Replaced => self.close(Closed::IdentityClash, now),
            }
        }
        self.settled.notify_waiters();
        None
    }

    /// Ends the enrolments that are due. To be called every few seconds.
    ///
    /// Rule 7: a session outlives its token while the account service is out of reach, and for
    /// [`RENEWAL_GRACE`] after it is back, because its client could not renew.
    pub(crate) fn handle_tick(&mut self, now: Instant) {
        self.registry.handle_tick(now);
        let could_renew = matches!(
            self.reachability,
            Reachability::Up(since) if now.duration_since(since) >= RENEWAL_GRACE
        );
        self.node_keys.keep(!could_renew);
        let ended = self
            .registry
            .expire(self.clock.unix_seconds(), !could_renew);
        self.apply(ended, now);
    }

    /// Stops admission and ends every session with its -1: the node is about to stop.
    pub(crate) fn stop(&mut self, now: Instant) {
        let closed = self.closed.unwrap_or(Closed::Stopping);
        self.close(closed, now);
        self.reporter.tell_all_ends();
        self.woken.notify_one();
    }

    /// Notified when there may be an action to poll.
    pub(crate) fn woken(&self) -> Rc<Notify> {
        self.woken.clone()
    }

    /// Notified when [`is_settled`](Self::is_settled) may have changed.
    pub(crate) fn settled(&self) -> Rc<Notify> {
        self.settled.clone()
    }

    /// Whether the service has been told everything, or is out of reach.
    pub(crate) fn is_settled(&self) -> bool {
        !self.is_reachable() || self.reporter.is_settled()
    }

    /// The node's state in one word: the gravest that applies.
    pub(crate) fn status(&self) -> Status {
        match (self.closed, self.reachability) {
            (Some(Closed::IdentityClash), _) => Status::IdentityClash,
            (Some(Closed::Stopping), _) => Status::Draining,
            (None, _) if self.drains => Status::Draining,
            (None, Reachability::WrongClock) => Status::Clock,
            (None, Reachability::Down) => Status::CounterAway,
            (None, Reachability::Up(_)) if self.registry.is_full() => Status::PoolFull,
            (None, Reachability::Up(_)) => Status::Ok,
        }
    }

    fn check_admission(&self) -> Result<(), Refusal> {
        match self.closed {
            Some(Closed::Stopping) => Err(Refusal::Draining),
            Some(Closed::IdentityClash) => Err(Refusal::IdentityClash),
            None if self.drains => Err(Refusal::Draining),
            None if self.refuses_sessions() => Err(Refusal::AccountsAway),
            None => Ok(()),
        }
    }

    /// Whether new sessions are refused because the counter is unreachable (rule 7).
    fn refuses_sessions(&self) -> bool {
        self.when_unreachable == WhenUnreachable::Refuse && !self.is_reachable()
    }

    fn is_reachable(&self) -> bool {
        matches!(self.reachability, Reachability::Up(_))
    }

    fn session_up(&mut self, id: EnrolmentId, now: Instant) {
        // The enrolment may have been released while the notice was under way.
        if self.registry.ticket(id).is_none() {
            return;
        }
        if self.refuses_sessions() {
            return self.commands.send(Command::End(id));
        }
        if let Some((session, ticket)) = self.registry.session_up(id) {
            self.reporter.session_up(session, ticket, now);
            self.woken.notify_one();
        }
    }

    fn session_down(&mut self, session: Option<SessionId>, now: Instant) {
        if let Some(session) = session {
            self.reporter.session_down(session, now);
            self.woken.notify_one();
        }
    }

    /// Rule 6: a session was finally denied. It ends with its enrolment, and its key is barred.
    fn deny(&mut self, session: SessionId, now: Instant) {
        let change = self.registry.deny(session);
        self.apply(change, now);
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = Change>, now: Instant) {
        for change in changes {
            match change {
                Change::Add(id, client) => self.commands.send(Command::Add(id, client)),
                Change::Remove(id, session) => {
                    self.session_down(session, now);
                    self.commands.send(Command::Remove(id));
                }
                Change::Renew(session, ticket) => {
                    if let Some(session) = session {
                        self.reporter.renew(session, ticket);
                    }
                }
            }
        }
    }

    /// Admits no one from now on, and ends every enrolment.
    fn close(&mut self, closed: Closed, now: Instant) {
        self.closed = Some(closed);
        let all = self.registry.expire(u64::MAX, false);
        self.apply(all, now);
    }
}

#[cfg(test)]
mod tests;
