//! Makes a run of `cargo xtask run`, and judges its report, and what it leaves. Needs root.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a set-up that fails is a test that fails"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mayfly_host::tree;
use mayfly_run::report::{Phase, Report};
use mayfly_run::{Args, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a run may take to where a test wants it: it may have an image to build.
const PATIENCE: Duration = Duration::from_secs(3600);
const LOOK: Duration = Duration::from_millis(20);

/// One run at a time: two cores boot one machine.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The report of one whole run, made once for all tests.
fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let _turn = turn();
        let args = Args {
            once: true,
            quick: true,
            ..Args::default()
        };
        run(&args).unwrap()
    })
}

fn devices(phase: Phase) -> Option<u8> {
    let mut all = report().devices.iter();
    all.find(|seen| seen.phase == phase)?.value
}

/// A run as a process of its own.
fn start() -> Child {
    Command::new(env!("CARGO_BIN_EXE_mayfly-boot"))
        .spawn()
        .unwrap()
}

/// Waits until something holds of a run that goes on.
#[track_caller]
fn wait(run: &mut Child, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert_eq!(run.try_wait().unwrap(), None, "the run has ended");
        assert!(started.elapsed() < PATIENCE);
        thread::sleep(LOOK);
    }
}

/// Everything on this machine that carries the name of the run with this id: files, and
/// processes with the names of their programs.
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
    let of_the_run = |process: &String| {
        let environment = fs::read(format!("{process}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&name)
    };
    let program = |process: String| {
        let program = fs::read_to_string(format!("{process}/comm")).unwrap_or_default();
        format!("{process} {}", program.trim())
    };
    let processes = listed(Path::new("/proc")).into_iter();
    left.extend(processes.filter(of_the_run).map(program));
    left
}

/// Whether the guest of the run with this id is switched on.
fn has_a_guest(pid: u32) -> bool {
    left_behind(pid)
        .iter()
        .any(|thing| thing.contains("qemu-system"))
}

#[test]
fn everything_holds() {
    assert_eq!(report().failures, Vec::<String>::new());
    assert!(report().ok);
}

#[test]
fn the_sealed_image_is_what_was_booted() {
    assert_eq!(report().profile, "sealed");
    let executables = &report().executables;
    assert_eq!(executables.len(), 2, "{executables:?}");
}

#[test]
fn a_stock_client_gets_the_page_through_the_tunnel() {
    assert!(report().tunnel_ok);
    assert!(report().handshake_ms.unwrap() > 0.0);
}

#[test]
fn the_internet_sees_the_node_and_not_the_customer() {
    assert_eq!(report().internet_saw, Some(report().node_egress));
    assert_ne!(report().internet_saw, Some(report().customer_address));
}

#[test]
fn the_counter_goes_from_0_to_1_to_0() {
    assert_eq!(devices(Phase::Start), Some(0));
    assert_eq!(devices(Phase::Connect), Some(1));
    assert_eq!(devices(Phase::Release), Some(0));
}

#[test]
fn a_finished_run_leaves_nothing_behind() {
    assert_eq!(report().left_behind, Vec::<String>::new());
}

#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    let _turn = turn();
    let mut run = start();
    let id = run.id();
    wait(&mut run, || has_a_guest(id));
    kill(Pid::from_raw(id.cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(left_behind(id), Vec::<String>::new());
}

#[test]
fn what_a_killed_run_left_is_taken_away_by_the_next() {
    let _turn = turn();
    let mut killed = start();
    let id = killed.id();
    wait(&mut killed, || has_a_guest(id));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(!left_behind(id).is_empty(), "nothing was there to be left");

    let mut next = start();
    wait(&mut next, || left_behind(id).is_empty());
    kill(Pid::from_raw(next.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(next.wait().unwrap().code(), Some(130));
    assert_eq!(left_behind(next.id()), Vec::<String>::new());
}
