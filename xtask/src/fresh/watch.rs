//! A command on the machine, and what it was like to watch it.

use std::fs::{self, File};
use std::io::{PipeReader, Read as _, Write as _, pipe};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use mayfly_host::process::Job;
use mayfly_host::progress::{seconds, step};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::Serialize;

use super::machine::Machine;

/// No command takes longer on any machine that is worth a try.
const LIMIT: Duration = Duration::from_secs(6 * 3600);
/// What shells, Rust and this tree say of a program or a file that is not there.
const WANTING: [&str; 7] = [
    "command not found",
    ": not found",
    "No such file or directory",
    "cannot run ",
    "missing: ",
    "missing although installed",
    "kind: NotFound",
];
/// Lines that are kept of those.
const MOST_LINES: usize = 20;

/// What came of a command.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    /// As the README has it.
    pub command: String,
    /// What the shell says; null if a signal ended it.
    pub exit: Option<i32>,
    /// From its start to its end.
    pub seconds: f64,
    /// What its processes took of all processors together, but for those that lost their parent.
    pub cpu_seconds: f64,
    /// The longest time in which it printed nothing, without a terminal.
    pub silent_seconds: f64,
    /// Lines that tell of a program or a file that was not there. A command that succeeds can have
    /// some too: it did without.
    pub wanted: Vec<String>,
}

/// Runs a command to its end; what it prints goes to `log`.
///
/// # Errors
/// The machine does not start, or a signal has come.
pub(super) fn run(machine: &Machine, words: &str, log: &Path) -> Result<Outcome> {
    let mut command = machine.command(words)?;
    let (reader, writer) = pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let file = File::create(log).context("cannot write a log")?;
    let (started, computed) = (Instant::now(), of_children()?);
    let mut job = Job::start(&mut command, words)?;
    // The pipe's other end is open in the command alone, so that it ends with it.
    drop(command);
    let listener = thread::spawn(move || listen(reader, file, started));
    let status = step(words, || job.wait(LIMIT));
    drop(job);
    let silent = listener.join().map_err(|_| anyhow!("a panic"))??;
    let time = started.elapsed();
    Ok(Outcome {
        command: words.to_owned(),
        exit: status?.code(),
        seconds: time.as_secs_f64(),
        cpu_seconds: of_children()? - computed,
        silent_seconds: silent.as_secs_f64(),
        wanted: wanted(&fs::read_to_string(log).unwrap_or_default()),
    })
}

/// Processor seconds of this process's children that have ended, and of theirs.
fn of_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let milliseconds =
        usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds();
    Ok(Duration::from_millis(milliseconds.try_into()?).as_secs_f64())
}

/// Writes down what comes, and says how long nothing came at the longest.
fn listen(mut from: PipeReader, mut log: File, started: Instant) -> Result<Duration> {
    let (mut last, mut silent) = (started, Duration::ZERO);
    let mut part = [0; 8192];
    loop {
        let length = from.read(&mut part)?;
        silent = silent.max(last.elapsed());
        last = Instant::now();
        if length == 0 {
            return Ok(silent);
        }
        log.write_all(&part[..length])?;
    }
}

/// The lines that tell of something that was not there, each once.
fn wanted(log: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in log.lines().map(str::trim) {
        let tells = WANTING.iter().any(|words| line.contains(words));
        if tells && lines.len() < MOST_LINES && !lines.iter().any(|known| known == line) {
            lines.push(line.to_owned());
        }
    }
    lines
}

impl Outcome {
    /// Whether it succeeded.
    pub(super) fn is_good(&self) -> bool {
        self.exit == Some(0)
    }

    /// How long it took.
    pub(super) fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// For a person, when it has ended.
    pub(super) fn line(&self) -> String {
        let silent = Duration::from_secs_f64(self.silent_seconds);
        let (exit, silent) = (self.exit_word(), seconds(silent));
        let lines = self.wanted.len();
        format!(
            "exit {exit}; silent for {silent} at the longest; {lines} lines tell of something missing"
        )
    }

    /// For the table.
    pub(super) fn row(&self) -> String {
        let silent = Duration::from_secs_f64(self.silent_seconds);
        format!(
            "{:<52} {:>6} {:>10} {:>10} {:>10}",
            self.command,
            self.exit_word(),
            seconds(self.time()),
            seconds(Duration::from_secs_f64(self.cpu_seconds)),
            seconds(silent)
        )
    }

    fn exit_word(&self) -> String {
        self.exit
            .map_or_else(|| "signal".to_owned(), |exit| exit.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_there_is_told_once() {
        let log = "ok\nsh: 1: dnsmasq: not found\nsh: 1: dnsmasq: not found\n\
                   thread panicked: Os { code: 2, kind: NotFound }\nfine\n";
        assert_eq!(wanted(log).len(), 2);
        assert!(wanted("42 tests, 0 failed").is_empty());
    }

    #[test]
    fn the_longest_silence_counts_from_the_start() {
        let (reader, mut writer) = pipe().unwrap();
        let log = tempfile::NamedTempFile::new().unwrap();
        let file = log.reopen().unwrap();
        let started = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
        let listener = thread::spawn(move || listen(reader, file, started));
        writer.write_all(b"hello").unwrap();
        drop(writer);
        let silent = listener.join().unwrap().unwrap();
        assert!(silent >= Duration::from_secs(60) && silent < Duration::from_secs(90));
        assert_eq!(fs::read_to_string(log.path()).unwrap(), "hello");
    }
}
