//! The kernel's status of each thread (proc_pid_status(5)).

use std::fs::{self, File};
use std::io::Read as _;

use super::{Failure, Policy};

/// The directory that lists this process's threads.
pub(super) const DIRECTORY: &str = "/proc/self/task";

/// Room for a status file. Status files are shorter than this.
const STATUS_LEN: usize = 8192;

/// The value of `Seccomp:` for a thread under a filter (SECCOMP_MODE_FILTER).
const FILTERED: u64 = 2;

/// Opens the directory of this process's threads.
pub(super) fn open_directory() -> Result<File, Failure> {
    File::open(DIRECTORY).map_err(|_| Failure::SelfTest)
}

/// Fails if the process has other threads than this one.
pub(super) fn require_one() -> Result<(), Failure> {
    let threads = fs::read_dir(DIRECTORY).map_err(|_| Failure::Threads)?;
    match threads.count() {
        1 => Ok(()),
        _ => Err(Failure::Threads),
    }
}

/// Opens the status of every thread. The kernel makes the contents when they are read.
pub(super) fn open_status() -> Result<Vec<File>, Failure> {
    let failed = |_| Failure::SelfTest;
    fs::read_dir(DIRECTORY)
        .map_err(failed)?
        .map(|thread| File::open(thread.map_err(failed)?.path().join("status")).map_err(failed))
        .collect()
}

/// The values that a status file must have, as far as they matter.
pub(super) struct Expected {
    kept: u64,
    user: Option<(u32, u32)>,
}

impl Expected {
    pub(super) fn after(policy: &Policy<'_>) -> Self {
        let bits = policy.capabilities.iter().map(caps::Capability::bitmask);
        Self {
            kept: bits.fold(0, |all, bit| all | bit),
            user: policy.user,
        }
    }

    /// Compares every thread's status. A thread that is not among `threads` is a failure, too.
    pub(super) fn check(&self, threads: Vec<File>) -> Result<(), Failure> {
        let count = threads.len() as u64;
        let mut room = [0; STATUS_LEN];
        for mut thread in threads {
            let length = thread.read(&mut room).map_err(|_| Failure::SelfTest)?;
            let text = room
                .get(..length)
                .and_then(|text| std::str::from_utf8(text).ok());
            if !text.is_some_and(|text| self.is_met_by(text, count)) {
                return Err(Failure::SelfTest);
            }
        }
        Ok(())
    }

    fn is_met_by(&self, status: &str, threads: u64) -> bool {
        let line = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let mask = |name| line(name).and_then(|hex| u64::from_str_radix(hex, 16).ok());
        let all = |name, id: u32| {
            line(name).is_some_and(|ids| {
                ids.split_whitespace().count() == 4
                    && ids.split_whitespace().all(|found| found.parse() == Ok(id))
            })
        };
        let number = |name| line(name).and_then(|number| number.parse().ok());
        number("Threads") == Some(threads)
            && number("Seccomp") == Some(FILTERED)
            && number("NoNewPrivs") == Some(1)
            && line("Groups") == Some("")
            && [mask("CapEff"), mask("CapPrm")] == [Some(self.kept); 2]
            && [mask("CapInh"), mask("CapBnd"), mask("CapAmb")] == [Some(0); 3]
            && self
                .user
                .is_none_or(|(uid, gid)| all("Uid", uid) && all("Gid", gid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Name:\tx\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t \nThreads:\t2\n\
        CapInh:\t0000000000000000\n\
        CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\n\
        CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    fn expected() -> Expected {
        Expected {
            kept: 0,
            user: Some((7, 8)),
        }
    }

    #[test]
    fn a_confined_thread_passes() {
        assert!(expected().is_met_by(GOOD, 2));
    }

    #[test]
    fn one_wrong_line_fails() {
        for (right, wrong) in [
            ("Threads:\t2", "Threads:\t3"),
            ("Groups:\t ", "Groups:\t0 "),
            ("Seccomp:\t2", "Seccomp:\t0"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("CapEff:\t0000000000000000", "CapEff:\t0000000000000001"),
            ("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"),
            ("Uid:\t7\t7\t7\t7", "Uid:\t7\t0\t7\t7"),
            ("CapAmb:\t0000000000000000\n", ""),
        ] {
            assert!(
                !expected().is_met_by(&GOOD.replace(right, wrong), 2),
                "{wrong}"
            );
        }
    }
}
