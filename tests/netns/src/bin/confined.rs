//! A process that confines itself as it is told, and then tries what it should not be able to do.
//! The tests of the confinement start it, because a process cannot undo its confinement.
//!
//! `confined MODE DIRECTORY ALLOWED_PORT OTHER_PORT`. It prints a line for each attempt
//! (`stage name outcome`), then `ready`, and ends when its input does.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::PathBuf;
use std::process::{Command, exit};
use std::sync::mpsc;
use std::thread;

use mayfly_sys::confine::{self, Allowed, Capability, OnViolation, Policy};
use nix::sys::prctl;
use nix::sys::signal::kill;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd::{Gid, Pid, Uid, setgroups, setuid};

/// A user and group that own nothing here.
const NOBODY: (u32, u32) = (65_534, 65_534);

/// What the attempts work on.
struct Place {
    directory: PathBuf,
    allowed_port: u16,
    other_port: u16,
    opened_before: File,
    parent: Pid,
}

type Attempt = (&'static str, fn(&Place) -> io::Result<()>);

const ATTEMPTS: &[Attempt] = &[
    // First, so that the thread is gone from the list of threads when that is read.
    ("thread", |_| {
        thread::Builder::new()
            .spawn(|| ())
            .map(|thread| drop(thread.join()))
    }),
    ("open-for-writing", |_| {
        File::options().write(true).open("/dev/null").map(drop)
    }),
    ("create", |place| {
        File::create(place.directory.join("new")).map(drop)
    }),
    ("mkdir", |place| fs::create_dir(place.directory.join("dir"))),
    ("read", |place| {
        File::open(place.directory.join("open")).map(drop)
    }),
    ("truncate", |place| {
        let path = place.directory.join("open");
        nix::unistd::truncate(&path, 0).map_err(io::Error::from)
    }),
    ("grow-what-was-open", |place| {
        (&place.opened_before).write_all(b"x")
    }),
    ("execute", |_| Command::new("/bin/true").status().map(drop)),
    ("connect-allowed", |place| {
        TcpStream::connect((Ipv4Addr::LOCALHOST, place.allowed_port)).map(drop)
    }),
    ("connect-other", |place| {
        TcpStream::connect((Ipv4Addr::LOCALHOST, place.other_port)).map(drop)
    }),
    ("bind", |_| {
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map(drop)
    }),
    ("abstract-socket", |place| {
        let name = format!("mayfly-{}", place.parent);
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(name)?).map(drop)
    }),
    ("signal", |place| {
        kill(place.parent, None).map_err(io::Error::from)
    }),
    ("raw-socket", |_| {
        let (flags, protocol) = (SockFlag::SOCK_CLOEXEC, SockProtocol::Icmp);
        let raw = socket(AddressFamily::Inet, SockType::Raw, flags, protocol);
        raw.map(drop).map_err(io::Error::from)
    }),
    ("keep-capabilities", |_| {
        prctl::set_keepcaps(true).map_err(io::Error::from)
    }),
    ("become-root", |_| {
        setuid(Uid::from_raw(0)).map_err(io::Error::from)
    }),
];

/// Enough to report, to wait and to end. No attempt can be made with it.
const TABLE: &[Allowed] = &[
    Allowed::any(
        libc::SYS_read,
        "the end of the input; the status of a thread",
    ),
    Allowed::any(libc::SYS_write, "the report"),
    Allowed::any(libc::SYS_close, "descriptors are closed"),
    Allowed::any(
        libc::SYS_fcntl,
        "a build with debug assertions checks a descriptor before it closes it",
    ),
    Allowed::any(libc::SYS_futex, "threads wait"),
    Allowed::any(libc::SYS_brk, "memory"),
    Allowed::any(libc::SYS_mmap, "memory"),
    Allowed::any(libc::SYS_munmap, "memory"),
    Allowed::any(libc::SYS_mprotect, "memory"),
    Allowed::any(libc::SYS_madvise, "memory"),
    Allowed::any(libc::SYS_rt_sigprocmask, "a thread that cannot be started"),
    Allowed::any(libc::SYS_sigaltstack, "the end"),
    Allowed::any(libc::SYS_exit_group, "the end"),
];

fn main() {
    confine::close_inherited().unwrap();
    let report = File::from(io::stdout().as_fd().try_clone_to_owned().unwrap());
    let input = File::from(io::stdin().as_fd().try_clone_to_owned().unwrap());
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [mode, directory, allowed_port, other_port] = arguments.try_into().unwrap();
    let place = Place {
        opened_before: File::options()
            .append(true)
            .open(format!("{directory}/open"))
            .unwrap(),
        directory: directory.into(),
        allowed_port: allowed_port.parse().unwrap(),
        other_port: other_port.parse().unwrap(),
        parent: Pid::parent(),
    };
    live(&mode, &place, &report, input);
}

fn live(mode: &str, place: &Place, mut report: &File, mut input: File) {
    if mode == "free" {
        try_all("free", place, report);
        exit(0);
    }
    // As after a login, which an initramfs does not have.
    setgroups(&[Gid::from_raw(1)]).unwrap();
    if mode == "early-thread" {
        thread::spawn(thread::park);
    }
    let confined = match confine::confine(&policy(mode, &[place.allowed_port])) {
        Ok(confined) => confined,
        Err(failure) => {
            writeln!(report, "refused {failure:?}").unwrap();
            exit(1);
        }
    };
    try_all("confined", place, report);
    start_a_thread();
    let violation = match mode {
        "killed" => OnViolation::Kill,
        _ => OnViolation::Refuse,
    };
    confined.seal(TABLE, violation).unwrap();
    try_all("sealed", place, report);
    writeln!(report, "ready").unwrap();
    input.read_to_end(&mut Vec::new()).unwrap();
}

/// Starts a thread and waits until it runs: the calls that it makes to start are not in the table.
fn start_a_thread() {
    let (begun, heard) = mpsc::channel();
    thread::spawn(move || {
        begun.send(()).unwrap();
        loop {
            thread::park();
        }
    });
    heard.recv().unwrap();
}

fn policy<'a>(mode: &str, connect_tcp: &'a [u16]) -> Policy<'a> {
    Policy {
        capabilities: match mode {
            "first-process" => &[Capability::CAP_KILL, Capability::CAP_SYS_BOOT],
            _ => &[],
        },
        user: match mode {
            "root" => None,
            "user-root" => Some((0, 0)),
            _ => Some(NOBODY),
        },
        connect_tcp,
        landlock_abi: match mode {
            "future-landlock" => u8::MAX,
            _ => 3,
        },
    }
}

fn try_all(stage: &str, place: &Place, mut report: &File) {
    for (name, attempt) in ATTEMPTS {
        let outcome = match attempt(place) {
            Ok(()) => "done".to_owned(),
            Err(error) => error.raw_os_error().map_or_else(
                || "failed".to_owned(),
                |number| format!("{:?}", nix::errno::Errno::from_raw(number)),
            ),
        };
        writeln!(report, "{stage} {name} {outcome}").unwrap();
    }
}
