//! Runs `cargo xtask run` and judges its report, and what it leaves. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a set-up that fails is a test that fails"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use mayfly_boot::tree;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The line that `cargo xtask run` prints when QEMU runs.
const BOOTED: &str = "boot the image";

/// One run at a time: two cores boot one machine.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start() -> Child {
    // `cargo run` becomes what it runs: the child's id is xtask's.
    Command::new(env!("CARGO"))
        .args([
            "run",
            "--quiet",
            "--package",
            "xtask",
            "--",
            "run",
            "--once",
            "--quick",
        ])
        .current_dir(tree())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Passes on what the run prints, up to a line that begins with `until`.
fn follow(run: &mut Child, until: Option<&str>) -> Vec<String> {
    let mut seen = Vec::new();
    let stdout = run.stdout.as_mut().unwrap();
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        println!("{line}");
        let last = until.is_some_and(|until| line.starts_with(until));
        seen.push(line);
        if last {
            break;
        }
    }
    seen
}

/// The report of one whole run, made once for all tests.
fn report() -> &'static Value {
    static REPORT: OnceLock<Value> = OnceLock::new();
    REPORT.get_or_init(|| {
        let _turn = turn();
        let path = tree().join("target/run/report.json");
        let _ = fs::remove_file(&path);
        let mut run = start();
        follow(&mut run, None);
        run.wait().unwrap();
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    })
}

fn devices(phase: &str) -> Option<u64> {
    let all = report()["devices"].as_array().unwrap();
    all.iter().find(|seen| seen["phase"] == phase)?["value"].as_u64()
}

/// Everything on this machine that carries the name of the run with this id.
fn left_behind(pid: u32) -> Vec<String> {
    let name = format!("mayfly-run-{pid}");
    let listed = |directory: &Path| -> Vec<String> {
        fs::read_dir(directory)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path().display().to_string())
            .collect()
    };
    let mut left: Vec<String> = ["/run/netns", "/sys/class/net", "/var/run/wireguard"]
        .map(PathBuf::from)
        .into_iter()
        .chain([tree().join("target/run")])
        .flat_map(|directory| listed(&directory))
        .filter(|path| path.contains(&name) || path.contains(&format!("mf{pid}")))
        .collect();
    left.extend(listed(Path::new("/proc")).into_iter().filter(|process| {
        let environment = fs::read(format!("{process}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&name)
    }));
    left
}

#[test]
fn everything_holds() {
    assert_eq!(report()["failures"], Value::Array(Vec::new()));
    assert_eq!(report()["ok"], true);
}

#[test]
fn the_sealed_image_is_what_was_booted() {
    assert_eq!(report()["profile"], "sealed");
    let executables = report()["executables"].as_array().unwrap();
    assert_eq!(executables.len(), 2, "{executables:?}");
}

#[test]
fn a_stock_client_gets_the_page_through_the_tunnel() {
    assert_eq!(report()["tunnel_ok"], true);
    assert!(report()["handshake_ms"].as_f64().unwrap() > 0.0);
}

#[test]
fn the_internet_sees_the_node_and_not_the_customer() {
    assert_eq!(report()["internet_saw"], report()["node_egress"]);
    assert_ne!(report()["internet_saw"], report()["customer_address"]);
}

#[test]
fn the_counter_goes_from_0_to_1_to_0() {
    assert_eq!(devices("start"), Some(0));
    assert_eq!(devices("connect"), Some(1));
    assert_eq!(devices("release"), Some(0));
}

#[test]
fn a_finished_run_leaves_nothing_behind() {
    assert_eq!(report()["left_behind"], Value::Array(Vec::new()));
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let _turn = turn();
    let mut run = start();
    follow(&mut run, Some(BOOTED));
    assert!(
        !left_behind(run.id()).is_empty(),
        "nothing was there to be left"
    );
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    follow(&mut run, None);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(left_behind(run.id()), Vec::<String>::new());
}

#[test]
fn what_a_killed_run_left_is_taken_away_by_the_next() {
    let _turn = turn();
    let mut killed = start();
    follow(&mut killed, Some(BOOTED));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        !left_behind(killed.id()).is_empty(),
        "nothing was there to be left"
    );

    let mut next = start();
    follow(&mut next, Some("took away"));
    assert_eq!(left_behind(killed.id()), Vec::<String>::new());
    kill(Pid::from_raw(next.id().cast_signed()), Signal::SIGTERM).unwrap();
    follow(&mut next, None);
    assert_eq!(next.wait().unwrap().code(), Some(130));
    assert_eq!(left_behind(next.id()), Vec::<String>::new());
}
