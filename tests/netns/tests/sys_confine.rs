//! The confinement, attacked from inside and inspected from outside.
//!
//! Each test starts a process (`src/bin/confined.rs`), because a confinement cannot be undone.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use tempfile::TempDir;

/// A directory, ports and a process with which every attempt succeeds, unless the confinement stops
/// it.
struct Jail {
    process: Child,
    input: Option<ChildStdin>,
    lines: Vec<String>,
    _directory: TempDir,
    _listeners: [TcpListener; 2],
}

impl Jail {
    /// Starts the process and reads its report, until it is ready or has ended.
    fn new(mode: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let file = directory.path().join("open");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        let listener = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listeners = [listener(), listener()];
        let port = |of: &TcpListener| of.local_addr().unwrap().port().to_string();
        let mut process = Command::new(env!("CARGO_BIN_EXE_confined"))
            .arg(mode)
            .arg(directory.path())
            .args(listeners.each_ref().map(port))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let lines = output.lines().map(Result::unwrap);
        Self {
            lines: lines.take_while(|line| line != "ready").collect(),
            input: process.stdin.take(),
            process,
            _directory: directory,
            _listeners: listeners,
        }
    }

    /// The outcome of each attempt in a stage.
    fn outcomes(&self, stage: &str) -> BTreeMap<&str, &str> {
        self.lines
            .iter()
            .filter_map(|line| line.strip_prefix(stage)?.trim().split_once(' '))
            .collect()
    }

    /// The status of each of its threads.
    fn threads(&self) -> Vec<String> {
        fs::read_dir(format!("/proc/{}/task", self.process.id()))
            .unwrap()
            .map(|thread| fs::read_to_string(thread.unwrap().path().join("status")).unwrap())
            .collect()
    }

    fn end(&mut self) -> ExitStatus {
        drop(self.input.take());
        self.process.wait().unwrap()
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// The socket that "abstract-socket" tries to reach. All tests of this process share it.
fn abstract_listener() -> &'static UnixListener {
    static LISTENER: std::sync::OnceLock<UnixListener> = std::sync::OnceLock::new();
    LISTENER.get_or_init(|| {
        let name = format!("mayfly-{}", std::process::id());
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap()
    })
}

fn line<'a>(status: &'a str, name: &str) -> &'a str {
    let found = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap().trim()
}

/// Attempts that the confinement refuses before there is a filter, with their errors.
const REFUSED: [(&str, &str); 12] = [
    ("open-for-writing", "EACCES"),
    ("create", "EACCES"),
    ("mkdir", "EACCES"),
    ("read", "EACCES"),
    ("truncate", "EACCES"),
    ("grow-what-was-open", "EFBIG"),
    ("execute", "EACCES"),
    ("connect-other", "EACCES"),
    ("bind", "EACCES"),
    ("raw-socket", "EPERM"),
    ("keep-capabilities", "EPERM"),
    ("become-root", "EPERM"),
];

#[test]
fn everything_is_possible_before() {
    abstract_listener();
    let jail = Jail::new("free");
    let outcomes = jail.outcomes("free");
    assert_eq!(outcomes.len(), 16);
    for (name, outcome) in outcomes {
        assert_eq!(outcome, "done", "{name}");
    }
}

#[test]
fn a_confined_process_cannot_open_a_file_for_writing() {
    abstract_listener();
    let jail = Jail::new("daemon");
    let outcomes = jail.outcomes("confined");
    for (name, refusal) in REFUSED {
        assert_eq!(outcomes[name], refusal, "{name}");
    }
    assert_eq!(outcomes["signal"], "EPERM");
    assert_eq!(outcomes["abstract-socket"], "EPERM");
    // The process must still start threads and reach the service.
    assert_eq!(outcomes["thread"], "done");
    assert_eq!(outcomes["connect-allowed"], "done");
}

#[test]
fn a_sealed_process_cannot_even_ask() {
    let mut jail = Jail::new("daemon");
    for (name, outcome) in jail.outcomes("sealed") {
        let refusal = match name {
            "grow-what-was-open" => "EFBIG",
            _ => "EPERM",
        };
        assert_eq!(outcome, refusal, "{name}");
    }
    assert_eq!(jail.outcomes("sealed").len(), 16);
    assert!(jail.end().success());
}

#[test]
fn a_call_outside_the_table_kills_the_process() {
    let mut jail = Jail::new("killed");
    assert!(!jail.outcomes("confined").is_empty());
    assert!(jail.outcomes("sealed").is_empty());
    assert_eq!(jail.end().signal(), Some(libc::SIGSYS));
}

#[test]
fn every_thread_shows_seccomp_and_no_right() {
    let jail = Jail::new("daemon");
    let threads = jail.threads();
    assert_eq!(threads.len(), 2);
    for status in threads {
        assert_eq!(line(&status, "Seccomp"), "2");
        assert_eq!(line(&status, "NoNewPrivs"), "1");
        assert_eq!(line(&status, "Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(line(&status, "Gid"), "65534\t65534\t65534\t65534");
        assert_eq!(line(&status, "Groups"), "");
        for set in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(line(&status, set), "0000000000000000", "{set}");
        }
    }
}

#[test]
fn a_first_process_keeps_what_a_restart_wants_and_nothing_else() {
    let jail = Jail::new("first-process");
    let outcomes = jail.outcomes("confined");
    for (name, refusal) in REFUSED {
        assert_eq!(outcomes[name], refusal, "{name}");
    }
    // The parent belongs to root and is not confined.
    assert_eq!(outcomes["signal"], "done");
    for status in jail.threads() {
        // CAP_KILL is 5, CAP_SYS_BOOT is 22 (linux/capability.h).
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(line(&status, set), "0000000000400020", "{set}");
        }
        for set in ["CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(line(&status, set), "0000000000000000", "{set}");
        }
    }
}

#[test]
fn who_does_not_keep_the_right_to_end_others_cannot_signal_them() {
    assert_eq!(Jail::new("root").outcomes("confined")["signal"], "EPERM");
}

#[test]
fn a_thread_started_before_confinement_is_refused() {
    let mut jail = Jail::new("early-thread");
    assert_eq!(jail.lines, ["refused Threads"]);
    assert!(!jail.end().success());
}

#[test]
fn missing_landlock_is_fatal() {
    let mut jail = Jail::new("future-landlock");
    assert_eq!(jail.lines, ["refused Landlock"]);
    assert!(!jail.end().success());
}

#[test]
fn root_is_no_user_to_become() {
    assert_eq!(Jail::new("user-root").lines, ["refused User"]);
}
