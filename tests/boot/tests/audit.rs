//! Makes the experiment of `cargo xtask audit --short`, and judges its report, promise by promise.
//! Needs root.
#![allow(
    clippy::unwrap_used,
    reason = "a set-up that fails is a test that fails"
)]

use std::sync::OnceLock;

use mayfly_audit::findings::Moment;
use mayfly_audit::needle::Kind;
use mayfly_audit::report::Report;
use mayfly_audit::{Args, audit};

/// The report of one experiment, made once for all tests.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| audit(&Args { short: true }).unwrap())
}

fn holds(id: &str) -> Option<bool> {
    let mut promises = report().promises.iter();
    promises.find(|promise| promise.id == id).unwrap().holds
}

/// Hits of one needle at one moment, over IPv4 and IPv6.
fn hits(moment: Moment, needle: Kind) -> Vec<usize> {
    let seen = report().ram.iter();
    seen.filter(|seen| seen.moment == moment && seen.needle == needle)
        .map(|seen| seen.full_hits)
        .collect()
}

#[test]
fn every_experiment_is_made_and_nothing_is_remembered() {
    let report = report();
    assert!(report.not_made.is_empty(), "{:?}", report.not_made);
    assert!(report.ok, "{:?}", report.failures);
}

#[test]
fn every_secret_is_found_while_the_customer_is_connected() {
    for needle in [
        Kind::Endpoint,
        Kind::SessionKeys,
        Kind::Tls,
        Kind::Connection,
        Kind::Visited,
        Kind::Name,
        Kind::Page,
        Kind::PublicKey,
        Kind::PresharedKey,
        Kind::Ticket,
        Kind::Token,
        Kind::InnerAddress,
    ] {
        let found = hits(Moment::Connected, needle);
        assert_eq!(found.len(), 2, "{needle:?}");
        assert!(found.iter().all(|hits| *hits > 0), "{needle:?}: {found:?}");
    }
}

#[test]
fn no_traffic_and_no_look_up_is_in_memory_a_minute_later() {
    assert_eq!(holds("traffic"), Some(true));
    assert_eq!(holds("dns"), Some(true));
}

#[test]
fn no_key_and_no_ticket_is_in_memory_a_minute_later() {
    assert_eq!(holds("session-keys"), Some(true));
    assert_eq!(holds("tls"), Some(true));
    assert_eq!(holds("keys"), Some(true));
}

#[test]
fn the_counter_follows_the_devices() {
    assert_eq!(holds("devices"), Some(true));
}

#[test]
fn nobody_writes_to_the_disk_or_listens_to_the_keyboard() {
    assert_eq!(holds("disk"), Some(true));
    assert_eq!(holds("keyboard"), Some(true));
}

#[test]
fn nothing_moves_in_the_account_store_on_a_connect() {
    assert_eq!(holds("account-store"), Some(true));
}

#[test]
fn what_was_not_tried_is_not_said_to_hold() {
    // Only the long form tries these.
    assert_eq!(holds("busy"), None);
    assert_eq!(holds("panic"), None);
}
