//! Child processes that end when this process ends. Every wait for one has a limit.

use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::signals;

/// Pause between two looks at a process.
const LOOK: Duration = Duration::from_millis(5);

/// How many compilers run at a time, here and in cargo: CARGO_BUILD_JOBS, or otherwise one for
/// each processor.
pub fn jobs() -> usize {
    let told = env::var("CARGO_BUILD_JOBS").ok();
    told.and_then(|jobs| jobs.parse().ok())
        .unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from))
}

/// A command. The kernel kills it when the thread that started it ends, for whatever reason.
pub fn command<'a>(words: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args(words)
        .stdin(Stdio::null())
        .process_group(0);
    command
}

/// Runs a command to its end and returns what it printed.
///
/// # Errors
/// It fails, takes longer than `limit`, or a signal comes. The error has the program's name and
/// its last line of standard error, never its arguments, which may be secret.
pub fn output(command: &mut Command, name: &str, limit: Duration) -> Result<String> {
    let mut stdout = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut stderr = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut job = Job::start(
        command
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?),
        name,
    )?;
    let status = job.wait(limit)?;
    let text = read_back(&mut stdout)?;
    if status.success() {
        return Ok(text);
    }
    let complaint = read_back(&mut stderr)?;
    let last = complaint.lines().last().unwrap_or("no reason given");
    bail!("{name} failed ({status}): {last}")
}

fn read_back(file: &mut File) -> Result<String> {
    use std::io::Seek as _;
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A process and the others in its process group. They are killed when this is dropped while the
/// process runs. If the process ends by itself, what it left running (a daemon) goes on.
#[derive(Debug)]
pub struct Job {
    name: String,
    child: Child,
}

impl Job {
    /// Starts a command in a process group of its own.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, name: &str) -> Result<Self> {
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
        })
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// `limit` has passed, or a signal has come: the process is killed.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            signals::check()?;
            if Instant::now() > end {
                bail!("{} took longer than {} s", self.name, limit.as_secs());
            }
            thread::sleep(LOOK);
        }
    }

    /// # Errors
    /// The process has ended, which it should not have.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} has ended ({status})", self.name),
        }
    }

    /// Ends the process: by SIGTERM, and if it still runs after `patience`, by SIGKILL.
    pub fn end(mut self, patience: Duration) {
        let _ = kill(self.pid(), Signal::SIGTERM);
        let end = Instant::now() + patience;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(LOOK);
        }
    }

    /// The pipe from its standard error, if there is one and it was not taken before.
    pub fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.stderr.take()
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = killpg(self.pid(), Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Runs work that does not look at signals. After a signal, this ends the processes that the work
/// has started, and goes on to do so until the work returns.
///
/// # Errors
/// What the work returns, or [`Interrupted`](signals::Interrupted).
pub fn interruptible<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        while !worker.is_finished() {
            if signals::check().is_err() {
                end_children();
            }
            thread::sleep(LOOK);
        }
        let result = worker.join().map_err(|_| anyhow!("the work panicked"))?;
        signals::check()?;
        result
    })
}

/// Sends SIGTERM to all processes below this one.
fn end_children() {
    let own = std::process::id();
    for pid in all().filter(|&pid| descends(pid, own)) {
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
    }
}

/// Kills a process and waits until it is gone, for `limit` at most.
pub fn kill_and_wait(pid: u32, limit: Duration) {
    let target = Pid::from_raw(pid.cast_signed());
    let end = Instant::now() + limit;
    while kill(target, Signal::SIGKILL) != Err(Errno::ESRCH) && Instant::now() < end {
        if parent(pid).is_none() || is_zombie(pid) {
            return;
        }
        thread::sleep(LOOK);
    }
}

/// The ids of all processes.
pub fn all() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn descends(mut pid: u32, ancestor: u32) -> bool {
    while let Some(parent) = parent(pid) {
        if parent == ancestor {
            return true;
        }
        pid = parent;
    }
    false
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process has ended and its parent has not yet waited for it.
pub fn is_zombie(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.starts_with('Z'))
}

/// `/proc/PID/stat` from the state on. The name before it can hold any character (proc(5)).
fn stat(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(") ")?.1.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_program_and_its_last_words_and_no_argument() {
        let mut command = command(["sh", "-c", "echo first >&2; echo last >&2; exit 3 # secret"]);
        let error = output(&mut command, "sh", Duration::from_secs(10)).unwrap_err();
        let line = format!("{error:#}");
        assert!(line.contains("last") && !line.contains("first"), "{line}");
        assert!(!line.contains("secret"), "{line}");
    }

    #[test]
    fn a_process_that_hangs_is_ended() {
        let started = Instant::now();
        let mut command = command(["sleep", "60"]);
        assert!(output(&mut command, "sleep", Duration::from_millis(50)).is_err());
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn a_child_is_known_as_one() {
        let mut command = command(["sleep", "60"]);
        let job = Job::start(&mut command, "sleep").unwrap();
        assert!(descends(job.child.id(), std::process::id()));
        assert!(!descends(1, std::process::id()));
    }
}
