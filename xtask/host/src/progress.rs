//! What a person sees of a long command: one line a step, alive on a terminal.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::signals::Interrupted;

/// One line on standard output.
pub fn say(line: &str) {
    // A reader that went away does not stop the work.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Why it ended, in one line on standard error.
fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "xtask: {error:#}");
}

/// The exit code of a command that ended so; says why it failed.
pub fn end(result: Result<()>) -> ExitCode {
    /// What a shell reports of a program that Ctrl-C ended.
    const INTERRUPTED: u8 = 130;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            if error.is::<Interrupted>() {
                ExitCode::from(INTERRUPTED)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs one step: a spinner with its time while it lasts, one line when it is done.
///
/// # Errors
/// The step's.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let started = Instant::now();
    let spinner = spinner(what);
    let result = work();
    spinner.finish_and_clear();
    let mark = if result.is_ok() { "ok" } else { "FAILED" };
    say(&format!(
        "{what:<58} {mark:>6} {:>8}",
        seconds(started.elapsed())
    ));
    result
}

/// One of several things that go on at the same time, by its name: no spinners, which would be
/// in each other's way.
#[derive(Debug, Clone, Copy)]
pub struct Strand(pub &'static str);

impl Strand {
    /// Runs one step of it.
    ///
    /// # Errors
    /// The step's.
    pub fn step<T>(self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let started = Instant::now();
        let result = work();
        let mark = if result.is_ok() { "ok" } else { "FAILED" };
        let what = format!("{}: {what}", self.0);
        say(&format!(
            "{what:<58} {mark:>6} {:>8}",
            seconds(started.elapsed())
        ));
        result
    }
}

fn spinner(what: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let spinner = ProgressBar::new_spinner()
        .with_style(style)
        .with_message(what.to_owned());
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// A time as a person reads it.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
