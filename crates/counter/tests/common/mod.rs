//! A world in which nodes and a service speak over a network that can fail.
//!
//! A connection carries messages both ways, in order, each after a latency of its own. It can be cut,
//! and then neither end is told. A machine can lose its power, and the service can restart. Time
//! jumps from event to event.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mayfly_counter::node::{Action, Reporter};
use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::counter::{NodeFrame, ServiceFrame};
use mayfly_wire::{TICKET_LEN, Ticket};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

pub(crate) type Account = u8;

/// A session, by a number that no other one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub u64);

/// The longest time that a message is under way, in microseconds.
const MOST_LATENCY: u32 = 20_000;

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A ticket that only names its account. Account 0 stands for a ticket that does not open.
pub(crate) fn ticket(account: Account) -> Ticket {
    Ticket([account; TICKET_LEN])
}

pub(crate) struct Machine {
    pub name: &'static str,
    pub reporter: Reporter<SessionId>,
    pub sessions: BTreeMap<u64, Account>,
    /// Sessions that a final denial ended, with the time.
    pub denied: Vec<(Instant, Account)>,
    pub replaced: bool,
    pub powered: bool,
    connection: Option<usize>,
    boots: u8,
}

struct Connection {
    machine: usize,
    boot: u8,
    stream: StreamId,
    /// Whether the service still has it.
    service_open: bool,
    cut: bool,
    up: VecDeque<(Instant, Vec<NodeFrame>)>,
    down: VecDeque<(Instant, Down)>,
}

enum Down {
    Message(Vec<ServiceFrame>),
    Closed(u16),
}

pub(crate) struct World {
    pub now: Instant,
    pub service: Ledgers<Account>,
    pub machines: Vec<Machine>,
    pub random: ChaCha8Rng,
    /// The frames of nodes that reached the service, in order.
    pub heard: Vec<NodeFrame>,
    connections: Vec<Connection>,
    erased: BTreeSet<Account>,
    reachable: bool,
    next_session: u64,
}

impl World {
    pub(crate) fn new(seed: u64, names: &[&'static str]) -> Self {
        let now = Instant::now();
        let mut world = Self {
            now,
            service: Ledgers::new(now),
            machines: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            heard: Vec::new(),
            connections: Vec::new(),
            erased: BTreeSet::new(),
            reachable: true,
            next_session: 0,
        };
        for name in names {
            let machine = world.boot(name, 0);
            world.machines.push(machine);
        }
        world
    }

    fn boot(&mut self, name: &'static str, boots: u8) -> Machine {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        Machine {
            name,
            reporter: Reporter::new(seed, self.now),
            sessions: BTreeMap::new(),
            denied: Vec::new(),
            replaced: false,
            powered: true,
            connection: None,
            boots,
        }
    }

    // What happens.

    pub(crate) fn session_up(&mut self, machine: usize, account: Account) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        let machine_state = &mut self.machines[machine];
        machine_state.sessions.insert(id.0, account);
        machine_state
            .reporter
            .session_up(id, ticket(account), self.now);
        self.carry_out(machine);
        id
    }

    pub(crate) fn session_down(&mut self, machine: usize, id: SessionId) {
        self.machines[machine].sessions.remove(&id.0);
        self.machines[machine].reporter.session_down(id, self.now);
        self.carry_out(machine);
    }

    /// Nothing was heard of the session for 180 s.
    pub(crate) fn session_silent(&mut self, machine: usize, id: SessionId) {
        self.machines[machine].sessions.remove(&id.0);
        let now = self.now;
        self.machines[machine].reporter.session_silent(id, now);
        self.carry_out(machine);
    }

    /// From now on the connection of a machine carries nothing, and neither end is told.
    pub(crate) fn cut(&mut self, machine: usize) {
        if let Some(connection) = self.machines[machine].connection {
            self.connections[connection].cut = true;
        }
    }

    /// The node's end learns at once that its connection is gone. The service's end does not.
    pub(crate) fn break_at_node(&mut self, machine: usize) {
        self.cut(machine);
        self.machines[machine].connection = None;
        let now = self.now;
        self.machines[machine]
            .reporter
            .handle_disconnected(None, now);
        self.carry_out(machine);
    }

    /// The machine reboots: sessions and epoch are gone, and the service is not told.
    pub(crate) fn lose_power(&mut self, machine: usize) {
        self.cut(machine);
        let old = &self.machines[machine];
        let (name, boots) = (old.name, old.boots + 1);
        self.machines[machine] = self.boot(name, boots);
    }

    /// The machine stays off.
    pub(crate) fn switch_off(&mut self, machine: usize) {
        self.lose_power(machine);
        self.machines[machine].powered = false;
    }

    /// The service forgets everything, and every connection breaks at both ends.
    pub(crate) fn restart_service(&mut self) {
        self.service = Ledgers::new(self.now);
        for index in 0..self.connections.len() {
            let connection = &mut self.connections[index];
            connection.service_open = false;
            connection.up.clear();
            if !connection.cut {
                connection.down.push_back((self.now, Down::Closed(1006)));
            }
        }
    }

    /// An account is erased.
    pub(crate) fn erase(&mut self, account: Account) {
        self.erased.insert(account);
        self.service.handle_erased(&[account], self.now);
        self.carry_out_service();
    }

    /// Sets whether attempts to connect succeed.
    pub(crate) fn set_reachable(&mut self, reachable: bool) {
        self.reachable = reachable;
    }

    // Time.

    pub(crate) fn run(&mut self, time: Duration) {
        self.run_checked(time, |_| {});
    }

    /// Runs for `time`, and calls `check` after every event.
    pub(crate) fn run_checked(&mut self, time: Duration, mut check: impl FnMut(&Self)) {
        let end = self.now + time;
        while let Some(next) = self.next_event().filter(|&at| at <= end) {
            self.now = self.now.max(next);
            self.deliver();
            self.service.handle_timeout(self.now);
            self.carry_out_service();
            for machine in 0..self.machines.len() {
                if self.machines[machine].powered {
                    let now = self.now;
                    self.machines[machine].reporter.handle_timeout(now);
                    self.carry_out(machine);
                }
            }
            check(self);
        }
        self.now = end;
    }

    pub(crate) fn devices(&self, account: Account) -> u8 {
        self.service.devices(&account)
    }

    pub(crate) fn live(&self, account: Account) -> usize {
        let all = self.machines.iter().flat_map(|m| m.sessions.values());
        all.filter(|&&owner| owner == account).count()
    }

    fn next_event(&self) -> Option<Instant> {
        let machines = self.machines.iter().filter(|machine| machine.powered);
        let timeouts = machines.filter_map(|machine| machine.reporter.poll_timeout());
        let arrivals = self.connections.iter().flat_map(|connection| {
            let up = connection.up.front().map(|(at, _)| *at);
            up.into_iter()
                .chain(connection.down.front().map(|&(at, _)| at))
        });
        timeouts
            .chain(arrivals)
            .chain(self.service.poll_timeout())
            .min()
    }

    fn deliver(&mut self) {
        for index in 0..self.connections.len() {
            while let Some(frames) = arrived(&mut self.connections[index].up, self.now) {
                self.reach_service(index, &frames);
            }
            while let Some(message) = arrived(&mut self.connections[index].down, self.now) {
                self.reach_node(index, &message);
            }
        }
    }

    fn reach_service(&mut self, index: usize, frames: &[NodeFrame]) {
        let connection = &self.connections[index];
        if !connection.service_open || connection.cut {
            return;
        }
        let stream = connection.stream;
        self.service.handle_message(stream, self.now);
        for &frame in frames {
            self.heard.push(frame);
            let account = match frame {
                NodeFrame::Report { ticket, .. } => Some(ticket.0[0])
                    .filter(|account| *account != 0 && !self.erased.contains(account)),
                _ => None,
            };
            self.service
                .handle_frame(stream, frame, account, 1, self.now);
        }
        self.carry_out_service();
    }

    fn reach_node(&mut self, index: usize, message: &Down) {
        let (machine, boot) = (
            self.connections[index].machine,
            self.connections[index].boot,
        );
        let state = &mut self.machines[machine];
        let stale = state.connection != Some(index) || state.boots != boot;
        if stale || self.connections[index].cut {
            return;
        }
        match message {
            Down::Message(frames) => state.reporter.handle_message(frames, self.now),
            Down::Closed(code) => {
                state.connection = None;
                state.reporter.handle_disconnected(Some(*code), self.now);
            }
        }
        self.carry_out(machine);
    }

    fn carry_out(&mut self, machine: usize) {
        while let Some(action) = self.machines[machine].reporter.poll_action() {
            match action {
                Action::Connect => self.connect(machine),
                Action::Send(frames) => self.send_up(machine, frames),
                Action::Disconnect => {
                    let connection = self.machines[machine].connection.take();
                    if let Some(connection) = connection.map(|at| &self.connections[at])
                        && connection.service_open
                        && !connection.cut
                    {
                        self.service.handle_close(connection.stream, self.now);
                    }
                }
                Action::End(id) => {
                    if let Some(account) = self.machines[machine].sessions.remove(&id.0) {
                        let now = self.now;
                        self.machines[machine].denied.push((now, account));
                    }
                }
                Action::Clock(time) => assert_eq!(time, 1),
                Action::Drain(on) => assert!(!on),
                Action::Replaced => self.machines[machine].replaced = true,
            }
        }
    }

    fn connect(&mut self, machine: usize) {
        let now = self.now;
        if !self.reachable {
            return self.machines[machine]
                .reporter
                .handle_disconnected(None, now);
        }
        let state = &mut self.machines[machine];
        let stream = self.service.accept(state.name, now);
        state.connection = Some(self.connections.len());
        self.connections.push(Connection {
            machine,
            boot: state.boots,
            stream,
            service_open: true,
            cut: false,
            up: VecDeque::new(),
            down: VecDeque::new(),
        });
        state.reporter.handle_connected(now);
    }

    fn send_up(&mut self, machine: usize, frames: Vec<NodeFrame>) {
        let at = self.arrival();
        if let Some(connection) = self.machines[machine].connection {
            let queue = &mut self.connections[connection].up;
            let after = queue.back().map_or(at, |(last, _)| at.max(*last));
            queue.push_back((after, frames));
        }
    }

    fn carry_out_service(&mut self) {
        while let Some(output) = self.service.poll_output() {
            let (stream, message) = match output {
                Output::Send(stream, frames) => (stream, Down::Message(frames)),
                Output::Close(stream, reason) => (stream, Down::Closed(reason.code())),
            };
            let at = self.arrival();
            let found = self
                .connections
                .iter_mut()
                .find(|connection| connection.stream == stream && connection.service_open);
            let Some(connection) = found else {
                continue;
            };
            if matches!(message, Down::Closed(_)) {
                connection.service_open = false;
                connection.up.clear();
            }
            let last = connection.down.back().map(|&(last, _)| last);
            connection
                .down
                .push_back((last.map_or(at, |last| at.max(last)), message));
        }
    }

    fn arrival(&mut self) -> Instant {
        self.now + Duration::from_micros(u64::from(1 + self.random.next_u32() % MOST_LATENCY))
    }
}

/// Takes the first message if it has arrived.
fn arrived<M>(queue: &mut VecDeque<(Instant, M)>, now: Instant) -> Option<M> {
    let message = queue.pop_front_if(|(at, _)| *at <= now);
    message.map(|(_, message)| message)
}
