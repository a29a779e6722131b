//! Attempts to leave something behind, made inside each confinement of the node.
//!
//! The matrix runs once for all tests: every attempt in every confinement, with all layers and with
//! one of them removed. The attempts are in `tests/attack`.

mod node_support;

use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use node_support::program;

const JAILS: [&str; 3] = ["daemon", "janitor", "pid1"];

fn findings() -> &'static Value {
    static FINDINGS: OnceLock<Value> = OnceLock::new();
    FINDINGS.get_or_init(|| {
        let run = Command::new(program("attack")).arg("matrix").output();
        let run = run.unwrap();
        let complaints = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{complaints}");
        serde_json::from_slice(&run.stdout).unwrap()
    })
}

fn names(value: &Value) -> Vec<&str> {
    let names = value.as_array().unwrap();
    names.iter().map(|name| name.as_str().unwrap()).collect()
}

fn without<'a>(jail: &str, layer: &str) -> Vec<&'a str> {
    names(&findings()["jails"][jail]["without"][layer])
}

#[test]
fn nothing_comes_through_but_what_the_work_needs() {
    for (jail, needed) in [
        ("daemon", vec!["tcp-to-the-account-service"]),
        ("janitor", vec![]),
        // To end the daemon before the machine restarts.
        ("pid1", vec!["signal-another"]),
    ] {
        let allowed = names(&findings()["jails"][jail]["allowed"]);
        assert_eq!(allowed, needed, "{jail}");
    }
}

#[test]
fn what_is_tried_could_come_through() {
    for jail in JAILS {
        let unconfined = names(&findings()["jails"][jail]["unconfined"]);
        assert!(unconfined.len() >= 70, "{jail}: {}", unconfined.len());
    }
}

#[test]
fn without_the_filter_memory_without_a_name_and_attributes_come_back() {
    for jail in JAILS {
        let back = without(jail, "seccomp");
        for attempt in [
            "memfd-create",
            "chmod",
            "utimensat",
            "setxattr",
            "unix-bind-abstract",
        ] {
            assert!(back.contains(&attempt), "{jail}: {attempt}");
        }
    }
}

#[test]
fn without_landlock_the_daemon_reaches_other_ports() {
    assert_eq!(without("daemon", "landlock"), ["tcp-to-a-log-server"]);
}

#[test]
fn without_limits_an_open_file_is_written() {
    let back = without("daemon", "limits");
    assert_eq!(back, ["write-to-open-file", "writev-to-open-file"]);
}

#[test]
fn without_the_null_device_somebody_hears_what_is_said() {
    assert_eq!(without("daemon", "descriptors"), ["stderr"]);
}

#[test]
fn without_the_firewall_an_open_socket_reaches_a_log_server() {
    for jail in JAILS {
        assert_eq!(without(jail, "firewall"), ["udp-by-open-socket"], "{jail}");
    }
}

#[test]
fn what_one_layer_alone_holds_is_held_by_another_when_it_is_gone() {
    // Neither is the only layer that stops an attempt.
    for jail in JAILS {
        for layer in ["capabilities", "isolation"] {
            assert_eq!(without(jail, layer), Vec::<&str>::new(), "{jail}, {layer}");
        }
    }
}
