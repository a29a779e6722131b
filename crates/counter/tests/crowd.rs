//! Many sessions on one stream: how long they take to be replayed, in the protocol's time and in
//! this machine's.

use std::time::{Duration, Instant};

use mayfly_counter::constants::{MESSAGE_FRAMES, MESSAGES_A_TICK, SYNC_WITHIN, TICK};
use mayfly_counter::node::{Action, Reporter};
use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::counter::NodeFrame;
use mayfly_wire::{TICKET_LEN, Ticket};

const CROWD: u32 = 65_000;

/// A node and a service without a way between them, each with a device of an account of its own in
/// every session.
struct World {
    now: Instant,
    node: Reporter<u32>,
    service: Ledgers<u32>,
    stream: Option<StreamId>,
    /// When the node said that it is synced.
    synced: Option<Instant>,
    /// Messages of each end in the tick that had the most of them.
    most: [usize; 2],
}

fn ticket(account: u32) -> Ticket {
    let mut ticket = [0; TICKET_LEN];
    ticket[..4].copy_from_slice(&account.to_be_bytes());
    Ticket(ticket)
}

fn account(frame: NodeFrame) -> Option<u32> {
    match frame {
        NodeFrame::Report { ticket, .. } => ticket.0[..4].try_into().ok().map(u32::from_be_bytes),
        _ => None,
    }
}

impl World {
    fn new(sessions: u32) -> Self {
        let now = Instant::now();
        let mut node = Reporter::new([1; 32], now);
        for id in 0..sessions {
            node.session_up(id, ticket(id), now);
        }
        Self {
            now,
            node,
            service: Ledgers::new(now),
            stream: None,
            synced: None,
            most: [0; 2],
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.node.handle_timeout(self.now);
            self.service.handle_timeout(self.now);
            self.carry();
            self.now += TICK / 10;
        }
    }

    fn carry(&mut self) {
        let mut sent = [0; 2];
        while let Some(action) = self.node.poll_action() {
            match (action, self.stream) {
                (Action::Connect, _) => {
                    self.stream = Some(self.service.accept("a", self.now));
                    self.node.handle_connected(self.now);
                }
                (Action::Send(frames), Some(stream)) => {
                    sent[0] += 1;
                    self.service.handle_message(stream, self.now);
                    frames.iter().for_each(|&frame| self.reach(stream, frame));
                }
                _ => {}
            }
        }
        while let Some(output) = self.service.poll_output() {
            match output {
                Output::Send(_, frames) => {
                    sent[1] += 1;
                    self.node.handle_message(&frames, self.now);
                }
                Output::Close(_, reason) => unreachable!("{reason:?}"),
            }
        }
        self.most = [self.most[0].max(sent[0]), self.most[1].max(sent[1])];
    }

    fn reach(&mut self, stream: StreamId, frame: NodeFrame) {
        if frame == (NodeFrame::Synced {}) {
            self.synced = Some(self.now);
        }
        self.service
            .handle_frame(stream, frame, account(frame), 0, self.now);
    }

    fn devices(&self) -> usize {
        self.service.accounts().count()
    }
}

#[test]
fn a_crowd_is_replayed_within_a_streams_time_and_no_tick_has_more_than_its_share() {
    let mut world = World::new(CROWD);
    // New ones are denied at first, and asked for again, by rule 5.
    world.run(SYNC_WITHIN + Duration::from_secs(40));
    assert_eq!(world.devices(), CROWD as usize);
    // The service forgets everything.
    world.node.handle_disconnected(None, world.now);
    (world.service, world.stream, world.synced) = (Ledgers::new(world.now), None, None);
    let (began, clock) = (world.now, Instant::now());
    world.run(SYNC_WITHIN);
    let took = world.synced.unwrap().duration_since(began);
    assert!(took < SYNC_WITHIN / 2, "{took:?}");
    assert_eq!(world.devices(), CROWD as usize);
    assert!(world.node.is_settled(), "every verdict has come");
    let share = CROWD.div_ceil(MESSAGE_FRAMES as u32) as usize;
    assert_eq!(world.most, [MESSAGES_A_TICK.min(share); 2]);
    // Work that grows with the square of the sessions takes minutes.
    assert!(clock.elapsed() < Duration::from_secs(20));
}
