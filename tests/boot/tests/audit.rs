//! Runs `cargo xtask audit --short` and judges its report, promise by promise. Needs root.
#![allow(
    clippy::unwrap_used,
    reason = "a set-up that fails is a test that fails"
)]

use std::sync::OnceLock;

use serde_json::Value;

/// The report of one run, made once for all tests.
fn report() -> &'static Value {
    static REPORT: OnceLock<Value> = OnceLock::new();
    REPORT.get_or_init(|| mayfly_boot::report(&["audit", "--short"], "target/audit.json"))
}

fn holds(id: &str) -> &'static Value {
    let promises = report()["promises"].as_array().unwrap();
    let promise = promises.iter().find(|promise| promise["id"] == id);
    &promise.unwrap()["holds"]
}

/// Hits of one needle at one moment, over IPv4 and IPv6.
fn hits(moment: &str, needle: &str) -> Vec<u64> {
    let ram = report()["ram"].as_array().unwrap();
    let of_it = ram
        .iter()
        .filter(|seen| seen["moment"] == moment && seen["needle"] == needle);
    of_it
        .map(|seen| seen["full_hits"].as_u64().unwrap())
        .collect()
}

#[test]
fn every_secret_is_found_while_the_customer_is_connected() {
    for needle in [
        "endpoint",
        "session-keys",
        "tls",
        "connection",
        "visited",
        "name",
        "page",
        "public-key",
        "preshared-key",
        "ticket",
        "token",
        "inner-address",
    ] {
        let found = hits("connected", needle);
        assert_eq!(found.len(), 2, "{needle}");
        assert!(found.iter().all(|hits| *hits > 0), "{needle}: {found:?}");
    }
}

#[test]
fn no_traffic_and_no_look_up_is_in_memory_a_minute_later() {
    assert_eq!(holds("traffic"), true);
    assert_eq!(holds("dns"), true);
}

#[test]
fn no_key_and_no_ticket_is_in_memory_a_minute_later() {
    assert_eq!(holds("session-keys"), true);
    assert_eq!(holds("tls"), true);
    assert_eq!(holds("keys"), true);
}

#[test]
fn the_counter_follows_the_devices() {
    assert_eq!(holds("devices"), true);
}

#[test]
fn nobody_writes_to_the_disk_or_listens_to_the_keyboard() {
    assert_eq!(holds("disk"), true);
    assert_eq!(holds("keyboard"), true);
}

#[test]
fn nothing_moves_in_the_account_store_on_a_connect() {
    assert_eq!(holds("account-store"), true);
}

#[test]
fn what_was_not_tried_is_not_said_to_hold() {
    // Only the long form tries these.
    assert_eq!(holds("busy"), &Value::Null);
    assert_eq!(holds("panic"), &Value::Null);
}
