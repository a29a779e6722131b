//! How a node handles the service's request to drain.

use std::time::Instant;

use mayfly_counter::node::{Action, Reporter as AnyReporter};
use mayfly_wire::counter::ServiceFrame;

/// No session begins here, so that any type serves as its id.
type Reporter = AnyReporter<u64>;

const WELCOME: ServiceFrame = ServiceFrame::Welcome { time: 1 };
const DRAIN: ServiceFrame = ServiceFrame::Drain { on: true };
const ADMIT: ServiceFrame = ServiceFrame::Drain { on: false };

/// Returns what a node does about draining when it receives `frames` on a new stream.
fn hears(reporter: &mut Reporter, now: Instant, frames: &[ServiceFrame]) -> Vec<bool> {
    reporter.handle_timeout(now);
    reporter.handle_connected(now);
    reporter.handle_message(frames, now);
    let actions = std::iter::from_fn(|| reporter.poll_action());
    let drain = |action| match action {
        Action::Drain(on) => Some(on),
        _ => None,
    };
    actions.filter_map(drain).collect()
}

#[test]
fn what_the_service_said_last_holds() {
    let now = Instant::now();
    let mut reporter = Reporter::new([1; 32], now);
    assert_eq!(
        hears(&mut reporter, now, &[WELCOME, DRAIN, ADMIT]),
        [false, true, false]
    );
}

#[test]
fn a_new_stream_takes_it_back_with_its_welcome_if_nothing_was_said_before() {
    let now = Instant::now();
    let mut reporter = Reporter::new([1; 32], now);
    assert_eq!(hears(&mut reporter, now, &[DRAIN, WELCOME]), [true]);
    reporter.handle_disconnected(None, now);
    let later = reporter.poll_timeout().unwrap();
    // It must not admit for a moment while the service wants it to drain.
    assert!(hears(&mut reporter, later, &[DRAIN]).is_empty());
    assert_eq!(hears(&mut reporter, later, &[WELCOME]), [true]);
    reporter.handle_disconnected(None, later);
    let latest = reporter.poll_timeout().unwrap();
    assert_eq!(hears(&mut reporter, latest, &[WELCOME]), [false]);
}
