//! One attempt: the process that makes it, and the one that starts that process.

use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::alarm;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::attempts::{self, Attempt};
use crate::jail::{Jail, Wall};
use crate::place::Place;
use crate::scene::Scene;

/// Seconds after which a call that waits is ended.
const PATIENCE: u32 = 10;
/// The exit code of a trial that is broken. No errno is as high.
const BROKEN: u8 = 250;

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    CameThrough,
    Refused(Errno),
}

/// Makes an attempt behind all walls except those `left_out`. The scene has put up its walls.
///
/// # Panics
/// If the process does not get as far as the attempt.
pub(crate) fn outcome(scene: &Scene, jail: Jail, left_out: &[Wall], attempt: &Attempt) -> Outcome {
    let (directory, log) = scene.prepare(jail, left_out);
    let walls: Vec<_> = left_out.iter().map(|wall| wall.name()).collect();
    let mut process = Command::new("/proc/self/exe")
        .args(["try", jail.name(), &walls.join(","), attempt.name])
        .arg(directory)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program can be started");
    let mut heard = Vec::new();
    let stderr = process.stderr.take();
    stderr.map(|mut stderr| stderr.read_to_end(&mut heard));
    let status = process.wait().expect("it was started");
    drop(log);
    match status.code() {
        Some(0) => Outcome::CameThrough,
        Some(code) if code < i32::from(BROKEN) => {
            // Only this side can know whether what was written to stderr arrived.
            if attempt.name == "stderr" && heard == b"seen" {
                return Outcome::CameThrough;
            }
            Outcome::Refused(Errno::from_raw(code))
        }
        _ => panic!(
            "{} of {} without {walls:?}: signal {:?}, {}",
            attempt.name,
            jail.name(),
            status.signal(),
            String::from_utf8_lossy(&heard)
        ),
    }
}

/// Makes the attempt itself.
pub(crate) fn run(jail: &str, walls: &str, attempt: &str, directory: &str) -> ExitCode {
    let jail = Jail::ALL.into_iter().find(|found| found.name() == jail);
    let left_out: Vec<_> = Wall::ALL
        .into_iter()
        .filter(|wall| walls.split(',').any(|name| name == wall.name()))
        .collect();
    let attempt = attempts::all().find(|found| found.name == attempt);
    let (Some(jail), Some(attempt)) = (jail, attempt) else {
        return BROKEN.into();
    };
    keep_to_itself();
    alarm::set(PATIENCE);
    let place = Place::open(Path::new(directory));
    if let Err(failure) = jail.lock(&left_out) {
        eprintln!("{failure}");
        return BROKEN.into();
    }
    // It does not return from main, which would do more than end the process.
    match (attempt.by)(&place) {
        Ok(()) => std::process::exit(0),
        Err(errno) => std::process::exit(errno as i32),
    }
}

/// Puts the process into its own namespaces, as far as the kernel has them, so that the effects of
/// what comes through are gone with it.
fn keep_to_itself() {
    for apart in [CloneFlags::CLONE_NEWUTS, CloneFlags::CLONE_NEWIPC] {
        let _ = unshare(apart);
    }
    if unshare(CloneFlags::CLONE_NEWNS).is_ok() {
        let private = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
        let _ = mount(None::<&str>, "/", None::<&str>, private, None::<&str>);
    }
}

/// Calls that a kernel may lack, by name. For some, only with this first argument.
const CALLS: [(&str, libc::c_long, Option<libc::c_uint>); 9] = [
    ("landlock", libc::SYS_landlock_create_ruleset, None),
    ("seccomp", libc::SYS_seccomp, None),
    // Steps of the confinement. Each can fail after others have been taken.
    ("close-range", libc::SYS_close_range, None),
    ("prlimit", libc::SYS_prlimit64, None),
    ("setresuid", libc::SYS_setresuid, None),
    ("capset", libc::SYS_capset, None),
    (
        "no-new-privileges",
        libc::SYS_prctl,
        Some(libc::PR_SET_NO_NEW_PRIVS.cast_unsigned()),
    ),
    ("landlock-in-force", libc::SYS_landlock_restrict_self, None),
    (
        "filter-in-force",
        libc::SYS_seccomp,
        Some(libc::SECCOMP_SET_MODE_FILTER),
    ),
];

/// Runs a program that finds no such system call in the kernel, as far as it can tell.
pub(crate) fn without_call(call: &str, program: &[&str]) -> ExitCode {
    let call = CALLS.iter().find(|(name, _, _)| *name == call);
    let (Some((_, call, first)), Some((program, arguments))) = (call, program.split_first()) else {
        return BROKEN.into();
    };
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let with_first = first.map(|value| {
        let equal = SeccompCondition::new(
            0,
            SeccompCmpArgLen::Dword,
            SeccompCmpOp::Eq,
            u64::from(value),
        );
        SeccompRule::new(vec![equal.expect("an argument")]).expect("a rule")
    });
    let calls = [(*call, with_first.into_iter().collect())].into();
    let filter = SeccompFilter::new(calls, SeccompAction::Allow, missing, TargetArch::x86_64)
        .and_then(BpfProgram::try_from)
        .expect("a filter of one call");
    seccompiler::apply_filter(&filter).expect("as root");
    eprintln!("{}", Command::new(program).args(arguments).exec());
    BROKEN.into()
}
