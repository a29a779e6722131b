//! Nodes that break the protocol, against the service's end alone (`crates/counter/PROTOCOL.md`).

use std::time::{Duration, Instant};

use mayfly_counter::CloseReason;
use mayfly_counter::constants::{REPLAYS_AT_A_TIME, TICK};
use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::counter::{Delta, Epoch, NodeFrame, ServiceFrame, VERSION};
use mayfly_wire::{TICKET_LEN, Ticket};

struct Service {
    ledgers: Ledgers<u8>,
    now: Instant,
}

impl Service {
    /// A service that started long ago.
    fn new() -> Self {
        let start = Instant::now();
        Self {
            ledgers: Ledgers::new(start),
            now: start + Duration::from_secs(60),
        }
    }

    /// A node says something. Returns what comes of it by the next tick of each stream, without
    /// the messages that carry nothing.
    fn say(&mut self, stream: StreamId, frame: NodeFrame, account: Option<u8>) -> Vec<Output> {
        self.ledgers.handle_message(stream, self.now);
        self.ledgers
            .handle_frame(stream, frame, account, 0, self.now);
        self.now += TICK;
        self.ledgers.handle_timeout(self.now);
        self.outputs()
    }

    fn outputs(&mut self) -> Vec<Output> {
        let outputs = std::iter::from_fn(|| self.ledgers.poll_output());
        let empty =
            |output: &Output| matches!(output, Output::Send(_, frames) if frames.is_empty());
        outputs.filter(|output| !empty(output)).collect()
    }

    /// Opens a stream of a node and one of its boots, and syncs it.
    fn synced(&mut self, node: &str, epoch: u8) -> StreamId {
        let stream = self.ledgers.accept(node, self.now);
        self.say(stream, hello(epoch), None);
        self.say(stream, NodeFrame::Synced {}, None);
        stream
    }
}

fn hello(epoch: u8) -> NodeFrame {
    NodeFrame::Hello {
        version: VERSION,
        epoch: Epoch([epoch; 16]),
    }
}

fn report(n: u64, delta: Delta) -> NodeFrame {
    NodeFrame::Report {
        n,
        ticket: Ticket([0; TICKET_LEN]),
        delta,
    }
}

fn closed(stream: StreamId, reason: CloseReason) -> Vec<Output> {
    vec![Output::Close(stream, reason)]
}

#[test]
fn a_minus_one_without_an_entry_closes_the_stream() {
    let mut service = Service::new();
    let stream = service.synced("a", 1);
    let outputs = service.say(stream, report(0, Delta::Down), Some(1));
    assert_eq!(outputs, closed(stream, CloseReason::Protocol));
}

#[test]
fn a_minus_one_of_an_unknown_ticket_is_ignored() {
    let mut service = Service::new();
    let stream = service.synced("a", 1);
    assert_eq!(service.say(stream, report(0, Delta::Down), None), []);
}

#[test]
fn a_plus_one_of_an_unknown_ticket_is_denied() {
    let mut service = Service::new();
    let stream = service.synced("a", 1);
    let denied = ServiceFrame::Verdict {
        n: 0,
        granted: false,
    };
    let outputs = service.say(stream, report(0, Delta::Up), None);
    assert_eq!(outputs, [Output::Send(stream, vec![denied])]);
}

#[test]
fn a_report_out_of_number_closes_the_stream() {
    let mut service = Service::new();
    let stream = service.synced("a", 1);
    let outputs = service.say(stream, report(1, Delta::Up), Some(1));
    assert_eq!(outputs, closed(stream, CloseReason::Protocol));
}

#[test]
fn nothing_goes_before_hello_and_nothing_is_said_twice() {
    let mut service = Service::new();
    let stream = service.ledgers.accept("a", service.now);
    let outputs = service.say(stream, report(0, Delta::Up), Some(1));
    assert_eq!(outputs, closed(stream, CloseReason::Protocol));
    for twice in [hello(1), NodeFrame::Synced {}] {
        let stream = service.synced("a", 1);
        let outputs = service.say(stream, twice, None);
        assert_eq!(outputs, closed(stream, CloseReason::Protocol));
    }
}

#[test]
fn a_later_hello_closes_earlier_streams_and_takes_over_what_they_counted() {
    let mut service = Service::new();
    let old = service.synced("a", 1);
    service.say(old, report(0, Delta::Up), Some(1));
    let unread = service.ledgers.accept("a", service.now);
    let new = service.ledgers.accept("a", service.now);
    let outputs = service.say(new, hello(1), None);
    assert_eq!(
        outputs,
        [
            Output::Close(old, CloseReason::Superseded),
            Output::Close(unread, CloseReason::Superseded),
            Output::Send(new, vec![ServiceFrame::Welcome { time: 0 }]),
        ]
    );
    assert_eq!(service.ledgers.devices(&1), 1);
    service.say(new, report(0, Delta::Up), Some(1));
    assert_eq!(service.ledgers.devices(&1), 1, "the replay takes credit");
    service.say(new, NodeFrame::Synced {}, None);
    assert_eq!(service.ledgers.devices(&1), 1);
    // What the old streams still say means nothing.
    assert_eq!(service.say(old, report(1, Delta::Up), Some(1)), []);
    assert_eq!(service.say(unread, hello(1), None), []);
}

#[test]
fn a_replaced_epoch_is_turned_away_and_closes_nothing() {
    let mut service = Service::new();
    service.synced("a", 1);
    let present = service.synced("a", 2);
    let replaced = service.ledgers.accept("a", service.now);
    let outputs = service.say(replaced, hello(1), None);
    assert_eq!(outputs, closed(replaced, CloseReason::EpochReplaced));
    let outputs = service.say(present, report(0, Delta::Up), Some(1));
    assert_eq!(outputs.len(), 1, "the present one goes on");
}

#[test]
fn credit_waits_for_an_unsynced_stream_but_not_without_end() {
    let mut service = Service::new();
    let old = service.synced("a", 1);
    service.say(old, report(0, Delta::Up), Some(1));
    service.ledgers.handle_close(old, service.now);
    service.now += Duration::from_secs(29);
    let unsynced = service.ledgers.accept("a", service.now);
    service.say(unsynced, hello(1), None);
    // The clock stands still for as long as the stream may stay unsynced.
    for _ in 0..2 {
        service.now += Duration::from_secs(14);
        service.ledgers.handle_message(unsynced, service.now);
        service.ledgers.handle_timeout(service.now);
        assert_eq!(service.ledgers.devices(&1), 1);
    }
    service.now += Duration::from_secs(2);
    service.ledgers.handle_timeout(service.now);
    assert!(
        service
            .outputs()
            .contains(&Output::Close(unsynced, CloseReason::NotSynced))
    );
    assert_eq!(service.ledgers.devices(&1), 1, "one second is left");
    service.now += Duration::from_secs(1);
    service.ledgers.handle_timeout(service.now);
    assert_eq!(service.ledgers.devices(&1), 0);
}

#[test]
fn a_stream_that_never_says_hello_is_closed() {
    let mut service = Service::new();
    let mute = service.ledgers.accept("a", service.now);
    service.now += Duration::from_secs(15);
    service.ledgers.handle_timeout(service.now);
    assert_eq!(service.outputs(), closed(mute, CloseReason::Silent));
}

#[test]
fn for_thirty_seconds_after_a_restart_only_replays_are_granted() {
    let mut service = Service::new();
    service.now -= Duration::from_secs(60);
    let stream = service.ledgers.accept("a", service.now);
    service.say(stream, hello(1), None);
    let granted = |granted, n| {
        [Output::Send(
            stream,
            vec![ServiceFrame::Verdict { n, granted }],
        )]
    };
    let replayed = service.say(stream, report(0, Delta::Up), Some(1));
    assert_eq!(replayed, granted(true, 0));
    service.say(stream, NodeFrame::Synced {}, None);
    let asked = service.say(stream, report(1, Delta::Up), Some(1));
    assert_eq!(asked, granted(false, 1));
    service.now += Duration::from_secs(30);
    let asked = service.say(stream, report(2, Delta::Up), Some(1));
    assert_eq!(asked, granted(true, 2));
}

#[test]
fn a_node_of_another_version_is_told_so_and_closes_nothing() {
    let mut service = Service::new();
    let present = service.synced("a", 1);
    let other = service.ledgers.accept("a", service.now);
    let hello = NodeFrame::Hello {
        version: VERSION + 1,
        epoch: Epoch([1; 16]),
    };
    let outputs = service.say(other, hello, None);
    assert_eq!(outputs, closed(other, CloseReason::Version));
    // The first version's hello is no message of this one.
    let older = service.ledgers.accept("a", service.now);
    service.ledgers.handle_unreadable(older, service.now);
    assert_eq!(service.outputs(), closed(older, CloseReason::Version));
    assert_eq!(service.say(present, report(0, Delta::Up), Some(1)).len(), 1);
}

#[test]
fn what_cannot_be_read_later_is_against_the_protocol() {
    let mut service = Service::new();
    let stream = service.synced("a", 1);
    service.ledgers.handle_unreadable(stream, service.now);
    assert_eq!(service.outputs(), closed(stream, CloseReason::Protocol));
}

/// Whether a stream was welcomed among these outputs.
fn welcomed(outputs: &[Output], stream: StreamId) -> bool {
    outputs.iter().any(|output| match output {
        Output::Send(of, frames) => {
            let mut frames = frames.iter();
            *of == stream && frames.any(|frame| matches!(frame, ServiceFrame::Welcome { .. }))
        }
        Output::Close(..) => false,
    })
}

impl Service {
    /// Fills the gate with nodes that replay.
    fn fill_gate(&mut self) -> Vec<StreamId> {
        let streams = (0..REPLAYS_AT_A_TIME).map(|node| {
            let stream = self.ledgers.accept(&format!("node-{node}"), self.now);
            self.ledgers.handle_message(stream, self.now);
            self.ledgers
                .handle_frame(stream, hello(1), None, 0, self.now);
            stream
        });
        streams.collect()
    }

    /// Lets time pass while these streams say that they are alive, and nothing else.
    fn pass(&mut self, time: Duration, alive: &[StreamId]) -> Vec<Output> {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            for &stream in alive {
                self.ledgers.handle_message(stream, self.now);
            }
            self.ledgers.handle_timeout(self.now);
        }
        self.outputs()
    }
}

#[test]
fn a_node_that_finds_the_gate_full_is_welcomed_when_another_is_synced_or_gone() {
    let mut service = Service::new();
    let streams = service.fill_gate();
    let outputs = service.pass(TICK, &[]);
    assert!(streams.iter().all(|&stream| welcomed(&outputs, stream)));
    let late = ["late-0", "late-1"].map(|node| service.ledgers.accept(node, service.now));
    for stream in late {
        let outputs = service.say(stream, hello(1), None);
        assert!(!welcomed(&outputs, stream));
    }
    let outputs = service.say(streams[0], NodeFrame::Synced {}, None);
    assert!(welcomed(&outputs, late[0]) && !welcomed(&outputs, late[1]));
    service.ledgers.handle_close(streams[1], service.now);
    let outputs = service.pass(TICK, &[]);
    assert!(welcomed(&outputs, late[1]));
}

#[test]
fn a_report_before_the_welcome_is_against_the_protocol() {
    let mut service = Service::new();
    service.fill_gate();
    let early = service.ledgers.accept("early", service.now);
    service.say(early, hello(1), None);
    let outputs = service.say(early, report(0, Delta::Up), Some(1));
    assert!(outputs.contains(&Output::Close(early, CloseReason::Protocol)));
}

#[test]
fn a_streams_time_begins_with_its_welcome_and_the_credit_waits_for_it() {
    let mut service = Service::new();
    let old = service.synced("late", 1);
    service.say(old, report(0, Delta::Up), Some(1));
    let streams = service.fill_gate();
    let late = service.ledgers.accept("late", service.now);
    service.say(late, hello(1), None);
    // The others say nothing of their replays, and are closed after 30 s.
    let all: Vec<_> = streams.iter().copied().chain([late]).collect();
    let outputs = service.pass(Duration::from_secs(28), &all);
    assert!(!welcomed(&outputs, late));
    assert_eq!(service.ledgers.devices(&1), 1);
    let outputs = service.pass(Duration::from_secs(2), &all);
    assert!(outputs.contains(&Output::Close(streams[0], CloseReason::NotSynced)));
    assert!(welcomed(&outputs, late));
    let outputs = service.pass(Duration::from_secs(28), &all);
    assert_eq!(outputs, []);
    let replayed = service.say(late, report(0, Delta::Up), Some(1));
    assert_eq!(replayed.len(), 1, "granted from credit");
    assert_eq!(service.ledgers.devices(&1), 1);
}

#[test]
fn a_replay_goes_on_as_long_as_something_of_it_comes_but_not_past_five_minutes() {
    let mut service = Service::new();
    let stream = service.ledgers.accept("a", service.now);
    service.say(stream, hello(1), None);
    let began = service.now;
    let mut n = 0;
    let closed = loop {
        let outputs = service.pass(Duration::from_secs(20), &[stream]);
        if outputs.contains(&Output::Close(stream, CloseReason::NotSynced)) {
            break service.now.duration_since(began);
        }
        service.say(stream, report(n, Delta::Up), None);
        n += 1;
    };
    assert!(
        closed >= Duration::from_secs(290) && closed <= Duration::from_secs(320),
        "{closed:?}"
    );
}

#[test]
fn while_nodes_wait_at_the_gate_only_replays_are_granted_but_not_past_five_minutes() {
    let mut service = Service::new();
    service.now -= Duration::from_secs(60);
    let new = service.synced("new", 1);
    let granted = |outputs: &[Output], n| {
        let verdict = ServiceFrame::Verdict { n, granted: true };
        outputs.contains(&Output::Send(new, vec![verdict]))
    };
    let began = service.now;
    let mut n = 0;
    let mut ask = |service: &mut Service| {
        let outputs = service.say(new, report(n, Delta::Up), Some(1));
        n += 1;
        granted(&outputs, n - 1)
    };
    // The gate is full, and another node waits at it, because all of them replay very slowly.
    let streams = service.fill_gate();
    let late = service.ledgers.accept("late", service.now);
    service.say(late, hello(1), None);
    let all: Vec<_> = streams.iter().copied().chain([late, new]).collect();
    let mut reports = 0;
    while service.now < began + Duration::from_secs(270) {
        service.pass(Duration::from_secs(25), &all);
        for &stream in &streams {
            service
                .ledgers
                .handle_frame(stream, report(reports, Delta::Up), None, 0, service.now);
        }
        reports += 1;
        assert!(
            !ask(&mut service),
            "{:?}",
            service.now.duration_since(began)
        );
    }
    service.pass(Duration::from_secs(25), &all);
    assert!(ask(&mut service));
}
