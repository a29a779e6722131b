use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519};

use mayfly_counter::constants::{SILENCE_TOLD_WITHIN, TICK};
use mayfly_wire::counter::Delta;
use mayfly_wire::token::Claims;
use mayfly_wire::{TICKET_LEN, Ticket};

use super::*;
use crate::datapath::CommandQueue;

/// The token key in the example.
const EXAMPLE_KEY: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// A control, and the account service at the other end of its stream.
struct Node {
    control: Control,
    commands: CommandQueue,
    service: KeyPair,
    clock: Clock,
    now: Instant,
}

impl Node {
    fn new(when_unreachable: &str) -> Self {
        let service = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let pinned = STANDARD.encode(service.public_key_raw());
        let text = include_str!("../../example.toml")
            .replace(EXAMPLE_KEY, &pinned)
            .replace("\"admit\"", &format!("{when_unreachable:?}"));
        let settings = Settings::parse("", &text).unwrap();
        let (clock, now) = (Clock::from_system(), Instant::now());
        let commands = CommandQueue::new().unwrap();
        let control = Control::new(
            &settings,
            NodeKeys::new(PublicKey([9; 32])),
            Commands::to(vec![commands.clone()]),
            clock.clone(),
            [[1; 32].into(), [2; 32].into()],
            now,
        );
        Self {
            control,
            commands,
            service,
            clock,
            now,
        }
    }

    fn request(&self, ticket: u8, lasts: u64) -> EnrolRequest {
        let claims = Claims {
            ticket: Ticket([ticket; TICKET_LEN]),
            exp: self.clock.unix_seconds() + lasts,
            ipv6: false,
            streaming: false,
            public_ipv4: false,
            multihop: false,
        };
        let signing = EncodingKey::from_ed_der(&self.service.serialize_der());
        EnrolRequest {
            token: encode(&Header::new(Algorithm::EdDSA), &claims, &signing).unwrap(),
            public_key: PublicKey([ticket; 32]),
        }
    }

    fn enrol(&mut self, ticket: u8, lasts: u64) -> Result<EnrolResponse, Refusal> {
        let request = self.request(ticket, lasts);
        self.control.enrol(&request, None, None, self.now)
    }

    /// Enrols a key, and its session begins.
    fn live(&mut self, ticket: u8, lasts: u64) -> EnrolmentId {
        self.enrol(ticket, lasts).unwrap();
        let id = match self.commands.take().pop() {
            Some(Command::Add(id, _)) => id,
            _ => panic!("the packet thread was not told"),
        };
        self.control.handle_notice(Notice::SessionUp(id), self.now);
        id
    }

    /// The counter stream comes up.
    fn reach(&mut self) {
        self.control.handle_timeout(self.now);
        self.control.handle_connection(Connection::Open, self.now);
        let time = self.clock.unix_seconds();
        self.say(ServiceFrame::Welcome { time });
        self.actions();
    }

    fn say(&mut self, frame: ServiceFrame) {
        self.control.handle_message(&[frame], self.now);
    }

    /// The reports since the last call.
    fn reports(&mut self) -> Vec<(u64, Delta)> {
        let frames = |action| match action {
            Action::Send(frames) => frames,
            _ => Vec::new(),
        };
        let report = |frame| match frame {
            NodeFrame::Report { n, delta, .. } => Some((n, delta)),
            _ => None,
        };
        let frames = self.actions().into_iter().flat_map(frames);
        frames.filter_map(report).collect()
    }

    /// What is to be done until after the next tick of the stream.
    fn actions(&mut self) -> Vec<Action> {
        self.now += TICK;
        self.control.handle_timeout(self.now);
        std::iter::from_fn(|| self.control.poll_action(self.now)).collect()
    }

    fn tick_after(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.control.handle_tick(self.now);
    }

    /// Whether the packet thread was told to remove a peer.
    fn has_removed(&self) -> bool {
        let commands = self.commands.take();
        commands
            .iter()
            .any(|command| matches!(command, Command::Remove(_)))
    }
}

#[test]
fn a_session_is_reported_up_and_down_once() {
    let mut node = Node::new("admit");
    node.reach();
    let id = node.live(1, 3600);
    assert_eq!(node.reports(), [(0, Delta::Up)]);
    node.say(ServiceFrame::Verdict {
        n: 0,
        granted: true,
    });
    node.control
        .handle_notice(Notice::SessionDown(id), node.now);
    node.control
        .handle_notice(Notice::SessionDown(id), node.now);
    // It leaves within 30 s, while the service is there.
    let mut reports = Vec::new();
    for _ in 0..=SILENCE_TOLD_WITHIN.as_secs() {
        node.control.handle_message(&[], node.now);
        reports.extend(node.reports());
    }
    assert_eq!(reports, [(1, Delta::Down)]);
}

#[test]
fn a_session_that_begins_after_its_release_is_none() {
    let mut node = Node::new("admit");
    node.reach();
    let granted = node.enrol(1, 3600).unwrap();
    let Some(Command::Add(id, _)) = node.commands.take().pop() else {
        panic!("the packet thread was not told");
    };
    let key = PublicKey([1; 32]);
    let bearer = Some(&granted.preshared_key);
    node.control.release(key, bearer, node.now).unwrap();
    node.control.handle_notice(Notice::SessionUp(id), node.now);
    assert!(node.reports().is_empty());
}

#[test]
fn a_token_that_ends_ends_its_session() {
    let mut node = Node::new("admit");
    node.reach();
    node.live(1, 1);
    node.reports();
    node.say(ServiceFrame::Verdict {
        n: 0,
        granted: true,
    });
    node.now += RENEWAL_GRACE;
    // The service was there all the time.
    node.control.handle_message(&[], node.now);
    node.clock.set(node.clock.unix_seconds() + 1);
    node.tick_after(0);
    assert!(node.has_removed());
    assert_eq!(node.reports(), [(1, Delta::Down)]);
}

#[test]
fn while_the_service_is_away_a_live_session_outlives_its_token_and_an_idle_enrolment_does_not() {
    let mut node = Node::new("admit");
    let live = node.live(1, 1);
    node.enrol(2, 1).unwrap();
    node.commands.take();
    node.clock.set(node.clock.unix_seconds() + 1);
    node.tick_after(5);
    assert!(node.has_removed(), "the idle one has ended");
    assert!(node.control.registry.ticket(live).is_some());

    node.reach();
    node.tick_after(299);
    assert!(!node.has_removed(), "there was no time to renew");
    node.tick_after(1);
    assert!(node.has_removed());
}

#[test]
fn keys_of_the_node_outlive_their_enrolments_while_no_client_can_renew() {
    let mut node = Node::new("admit");
    let are_kept = |node: &Node| node.control.node_keys.are_kept();
    node.tick_after(5);
    assert!(are_kept(&node), "the service was never there");
    node.reach();
    node.tick_after(299);
    assert!(are_kept(&node), "there was no time to renew");
    node.tick_after(1);
    assert!(!are_kept(&node));
    let closed = Connection::Closed(None);
    node.control.handle_connection(closed, node.now);
    node.tick_after(5);
    assert!(are_kept(&node));
}

#[test]
fn nobody_new_is_admitted_while_the_service_is_away_if_the_operator_says_so() {
    let mut node = Node::new("refuse");
    assert_eq!(node.enrol(1, 3600).err(), Some(Refusal::AccountsAway));
    node.reach();
    node.enrol(1, 3600).unwrap();
    let Some(Command::Add(id, _)) = node.commands.take().pop() else {
        panic!("the packet thread was not told");
    };
    let closed = Connection::Closed(None);
    node.control.handle_connection(closed, node.now);
    node.control.handle_notice(Notice::SessionUp(id), node.now);
    assert!(matches!(node.commands.take()[..], [Command::End(_)]));
}

#[test]
fn a_stop_ends_every_session_with_its_down_and_admits_nobody() {
    let mut node = Node::new("admit");
    node.reach();
    node.live(1, 3600);
    node.reports();
    assert!(!node.control.is_settled(), "a verdict is pending");
    node.control.stop(node.now);
    assert!(node.has_removed());
    assert!(node.reports().is_empty(), "no -1 before the grant");
    node.say(ServiceFrame::Verdict {
        n: 0,
        granted: true,
    });
    assert_eq!(node.reports(), [(1, Delta::Down)]);
    assert!(node.control.is_settled());
    assert_eq!(node.enrol(2, 3600).err(), Some(Refusal::Draining));
}

#[test]
fn a_node_that_drains_admits_and_renews_nobody_and_serves_who_is_there() {
    let mut node = Node::new("admit");
    node.reach();
    node.live(1, 3600);
    node.reports();
    node.say(ServiceFrame::Drain { on: true });
    node.actions();
    assert_eq!(node.control.status(), Status::Draining);
    assert!(!node.has_removed());
    assert_eq!(node.enrol(1, 7200).err(), Some(Refusal::Draining));
    assert_eq!(node.enrol(2, 3600).err(), Some(Refusal::Draining));
    node.say(ServiceFrame::Drain { on: false });
    node.actions();
    assert_eq!(node.control.status(), Status::Ok);
    node.enrol(2, 3600).unwrap();
}

#[test]
fn a_final_denial_ends_the_enrolment_and_bars_the_key() {
    let mut node = Node::new("admit");
    let id = node.live(1, 3600);
    let (session, _) = node.control.registry.session_up(id).unwrap();
    node.control.deny(session, node.now);
    assert!(node.has_removed());
    assert_eq!(node.enrol(1, 3600).err(), Some(Refusal::KeyBarred));
}

#[test]
fn the_gravest_state_is_the_word() {
    let mut node = Node::new("admit");
    assert_eq!(node.control.status(), Status::CounterAway);
    let wrong_clock = Connection::WrongClock;
    node.control.handle_connection(wrong_clock, node.now);
    assert_eq!(node.control.status(), Status::Clock);
    node.reach();
    assert_eq!(node.control.status(), Status::Ok);
    node.control.stop(node.now);
    assert_eq!(node.control.status(), Status::Draining);
    node.control.close(Closed::IdentityClash, node.now);
    assert_eq!(node.control.status(), Status::IdentityClash);
}
