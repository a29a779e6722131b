//! More than one counter: accounts in shards, each with its own ledgers, and a front that has one
//! stream to each node and, for each node, one to every shard (crates/accounts/SCALE.md).
//!
//! The front only splits and joins. Everything that one account's devices do passes through one
//! shard, in the node's order, so that every rule holds there as it does without shards. The front
//! has to take care of what spans accounts: verdicts come back in the order of the asks, a node is
//! welcomed when every shard has welcomed it, and it loses its stream when it loses any of them.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mayfly_counter::CloseReason;
use mayfly_counter::node::{Action, Reporter};
use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
use mayfly_wire::{TICKET_LEN, Ticket};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

type Account = u8;

/// A session, by a number that no other one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct SessionId(u64);

const SHARDS: usize = 3;
const NODES: usize = 3;
const ACCOUNTS: u8 = 9;

/// A node's stream, split over the shards.
struct Front {
    node: usize,
    parts: Vec<StreamId>,
    numbers: [u64; SHARDS],
    welcomed: usize,
    /// Asks in the node's order: number, shard, and the verdict once it is in.
    asked: VecDeque<(u64, usize, Option<bool>)>,
}

struct World {
    now: Instant,
    shards: Vec<Ledgers<Account>>,
    fronts: BTreeMap<usize, Front>,
    next_front: usize,
    nodes: Vec<Reporter<SessionId>>,
    /// The front that each node is connected to.
    connected: [Option<usize>; NODES],
    sessions: Vec<(usize, SessionId, Account)>,
    random: ChaCha8Rng,
    next_session: u64,
}

fn shard_of(account: Option<Account>) -> usize {
    usize::from(account.unwrap_or(0)) % SHARDS
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Instant::now();
        Self {
            now,
            shards: (0..SHARDS).map(|_| Ledgers::new(now)).collect(),
            fronts: BTreeMap::new(),
            next_front: 0,
            nodes: (0..NODES)
                .map(|node| Reporter::new([seed as u8 ^ (node as u8 * 31); 32], now))
                .collect(),
            connected: [None; NODES],
            sessions: Vec::new(),
            random: ChaCha8Rng::seed_from_u64(seed),
            next_session: 0,
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random.next_u32() as usize % below
    }

    fn live(&self, account: Account) -> usize {
        let all = self.sessions.iter();
        all.filter(|&&(_, _, owner)| owner == account).count()
    }

    fn devices(&self, account: Account) -> u8 {
        self.shards[shard_of(Some(account))].devices(&account)
    }

    // What happens.

    fn move_one(&mut self) {
        let account = 1 + self.draw(ACCOUNTS.into()) as u8;
        if self.draw(2) == 0 && self.live(account) < 4 {
            let (node, id) = (self.draw(NODES), SessionId(self.next_session));
            self.next_session += 1;
            self.sessions.push((node, id, account));
            let ticket = Ticket([account; TICKET_LEN]);
            self.nodes[node].session_up(id, ticket, self.now);
        } else if !self.sessions.is_empty() {
            let place = self.draw(self.sessions.len());
            let (node, id, _) = self.sessions.swap_remove(place);
            self.nodes[node].session_down(id, self.now);
        }
    }

    /// A shard's counter is lost, and another process takes its lock.
    fn restart(&mut self, shard: usize) {
        self.shards[shard] = Ledgers::new(self.now);
        let fronts: Vec<usize> = self.fronts.keys().copied().collect();
        for front in fronts {
            self.close(front, Some(shard), None);
        }
    }

    /// The node's end breaks, and the other end is not told.
    fn cut(&mut self, node: usize) {
        if self.connected[node].take().is_some() {
            self.nodes[node].handle_disconnected(None, self.now);
        }
    }

    // The front.

    fn connect(&mut self, node: usize) {
        let (now, name) = (self.now, format!("node-{node}"));
        let parts = self.shards.iter_mut().map(|shard| shard.accept(&name, now));
        let front = Front {
            node,
            parts: parts.collect(),
            numbers: [0; SHARDS],
            welcomed: 0,
            asked: VecDeque::new(),
        };
        self.fronts.insert(self.next_front, front);
        self.connected[node] = Some(self.next_front);
        self.next_front += 1;
        self.nodes[node].handle_connected(now);
    }

    fn handle(&mut self, id: usize, frames: Vec<NodeFrame>) {
        if let Some(front) = self.fronts.get(&id) {
            for (shard, &part) in self.shards.iter_mut().zip(&front.parts) {
                shard.handle_message(part, self.now);
            }
        }
        for frame in frames {
            self.handle_frame(id, frame);
        }
    }

    fn handle_frame(&mut self, id: usize, frame: NodeFrame) {
        let Some(front) = self.fronts.get_mut(&id) else {
            return;
        };
        let NodeFrame::Report { n, ticket, delta } = frame else {
            // A frame about the stream itself is for every shard.
            for (shard, &part) in self.shards.iter_mut().zip(&front.parts) {
                shard.handle_frame(part, frame, None, 1, self.now);
            }
            return;
        };
        let account = Some(ticket.0[0]);
        let shard = shard_of(account);
        if delta == Delta::Up {
            front.asked.push_back((n, shard, None));
        }
        let n = front.numbers[shard];
        front.numbers[shard] += 1;
        let frame = NodeFrame::Report { n, ticket, delta };
        self.shards[shard].handle_frame(front.parts[shard], frame, account, 1, self.now);
    }

    fn handle_output(&mut self, shard: usize, output: Output) {
        let (part, frames) = match output {
            Output::Send(part, frames) => (part, Ok(frames)),
            Output::Close(part, reason) => (part, Err(reason)),
        };
        let mut fronts = self.fronts.iter();
        let Some((&id, _)) = fronts.find(|(_, front)| front.parts[shard] == part) else {
            return;
        };
        match frames {
            Err(reason) => self.close(id, Some(shard), Some(reason)),
            Ok(frames) => {
                // Every shard sends on every tick. The node hears of it through any of them.
                self.tell(id, &[]);
                for frame in frames {
                    self.handle_answer(id, shard, frame);
                }
            }
        }
    }

    fn handle_answer(&mut self, id: usize, shard: usize, frame: ServiceFrame) {
        let Some(front) = self.fronts.get_mut(&id) else {
            return;
        };
        match frame {
            ServiceFrame::Welcome { .. } => {
                front.welcomed += 1;
                if front.welcomed == SHARDS {
                    self.tell(id, &[ServiceFrame::Welcome { time: 1 }]);
                }
            }
            ServiceFrame::Verdict { granted, .. } => {
                let mut waiting = front.asked.iter_mut();
                let due = waiting.find(|(_, of, verdict)| *of == shard && verdict.is_none());
                due.unwrap().2 = Some(granted);
                self.tell_verdicts(id);
            }
            ServiceFrame::Drain { .. } => unreachable!("no operator is here"),
        }
    }

    fn tell_verdicts(&mut self, id: usize) {
        while let Some(front) = self.fronts.get_mut(&id)
            && let Some(&(n, _, Some(granted))) = front.asked.front()
        {
            front.asked.pop_front();
            self.tell(id, &[ServiceFrame::Verdict { n, granted }]);
        }
    }

    fn tell(&mut self, id: usize, frames: &[ServiceFrame]) {
        let node = self.fronts[&id].node;
        if self.connected[node] == Some(id) {
            self.nodes[node].handle_message(frames, self.now);
        }
    }

    /// A node's stream ends with any of its parts. `gone` is the shard that closed its own part.
    fn close(&mut self, id: usize, gone: Option<usize>, reason: Option<CloseReason>) {
        let Some(front) = self.fronts.remove(&id) else {
            return;
        };
        for (shard, part) in front.parts.into_iter().enumerate() {
            if Some(shard) != gone {
                self.shards[shard].handle_close(part, self.now);
            }
        }
        if self.connected[front.node] == Some(id) {
            self.connected[front.node] = None;
            let code = reason.map(CloseReason::code);
            self.nodes[front.node].handle_disconnected(code, self.now);
        }
    }

    // Time.

    /// Delivers everything, until no end has anything to send.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for node in 0..NODES {
                while let Some(action) = self.nodes[node].poll_action() {
                    quiet = false;
                    self.carry_out(node, action);
                }
            }
            for shard in 0..SHARDS {
                while let Some(output) = self.shards[shard].poll_output() {
                    quiet = false;
                    self.handle_output(shard, output);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn carry_out(&mut self, node: usize, action: Action<SessionId>) {
        match (action, self.connected[node]) {
            (Action::Connect, _) => self.connect(node),
            (Action::Send(frames), Some(front)) => self.handle(front, frames),
            (Action::Disconnect, Some(front)) => {
                self.connected[node] = None;
                self.close(front, None, None);
            }
            (Action::End(id), _) => self.sessions.retain(|&(_, session, _)| session != id),
            (Action::Replaced, _) => unreachable!("every node has one epoch"),
            _ => {}
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            self.settle();
            for account in 1..=ACCOUNTS {
                assert!(self.devices(account) <= 4);
            }
            let nodes = self.nodes.iter().filter_map(Reporter::poll_timeout);
            let shards = self.shards.iter().filter_map(Ledgers::poll_timeout);
            let Some(next) = nodes.chain(shards).min().filter(|&at| at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            for shard in &mut self.shards {
                shard.handle_timeout(self.now);
            }
            for node in &mut self.nodes {
                node.handle_timeout(self.now);
            }
        }
        self.now = end;
    }
}

#[test]
fn devices_are_true_whichever_shards_are_lost_and_whichever_streams_break() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        for _ in 0..200 {
            match world.draw(40) {
                0 => {
                    let shard = world.draw(SHARDS);
                    world.restart(shard);
                }
                1 | 2 => {
                    let node = world.draw(NODES);
                    world.cut(node);
                }
                _ => world.move_one(),
            }
            let time = Duration::from_millis(world.draw(3000) as u64);
            world.run(time);
        }
        // 45 s for a node that died, 30 s for a restart, and the next ask.
        world.run(Duration::from_secs(90));
        for account in 1..=ACCOUNTS {
            let devices = usize::from(world.devices(account));
            assert_eq!(
                devices,
                world.live(account),
                "seed {seed}, account {account}"
            );
        }
    }
}
