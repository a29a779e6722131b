//! Makes the attempts of `cargo xtask writes`, and judges their report. Needs root.
#![allow(
    clippy::unwrap_used,
    reason = "a set-up that fails is a test that fails"
)]

use std::sync::OnceLock;

use mayfly_audit::writes::{self, Findings, Report};

/// The report of one run, made once for all tests.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| writes::run().unwrap())
}

fn in_the_image() -> &'static Findings {
    let mut places = report().places.iter();
    places.find(|place| place.place == "image").unwrap()
}

#[test]
fn in_the_image_too_only_what_is_needed_comes_through() {
    assert_eq!(report().failures, Vec::<String>::new());
    assert!(in_the_image().attempts.len() >= 70);
}

#[test]
fn the_sealed_kernel_has_no_memory_without_a_name_no_module_and_no_log() {
    // Even for root, with no layer at all.
    let unconfined = &in_the_image().jails["daemon"].unconfined;
    for attempt in [
        "memfd-create",
        "memfd-secret",
        "shmget",
        "mq-open",
        "io-uring",
        "bpf",
        "init-module",
        "kexec-load",
        "dev-kmsg",
        "dev-ttyS0",
        "packet-socket",
        "new-user-namespace",
        "add-key",
    ] {
        assert!(!unconfined.iter().any(|name| name == attempt), "{attempt}");
    }
}

#[test]
fn a_write_under_the_shipped_filter_restarts_the_machine_into_a_clean_state() {
    let violation = &report().violation;
    assert!(violation.restarted);
    let [before, after] = violation.marks;
    assert!(before > 0, "there was nothing to be forgotten");
    assert_eq!(after, 0);
}

#[test]
fn the_shipped_programs_hold_no_words_for_a_log() {
    assert_eq!(report().log_strings, Vec::<&str>::new());
}
