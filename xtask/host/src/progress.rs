//! What a person sees of a long command. Each step that ends prints one line. A step that goes on
//! says what it is doing: on a terminal in a status line, in a file or a pipe in a line after three
//! seconds and another one every half minute.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::signals::Interrupted;

/// Pause between two looks at the steps.
const LOOK: Duration = Duration::from_millis(200);
/// When a step prints its first line into a pipe, and how long after that the next one.
const FIRST: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_secs(30);
/// Columns of a terminal that are used, at most.
const COLUMNS: usize = 100;

/// The steps that are running.
static STEPS: Mutex<Steps> = Mutex::new(Steps {
    running: Vec::new(),
    next: 0,
    is_watched: false,
    is_drawn: false,
});

struct Steps {
    running: Vec<Running>,
    /// The number of the next step.
    next: u64,
    /// A thread prints what they are doing.
    is_watched: bool,
    /// The terminal's last line is the status line.
    is_drawn: bool,
}

struct Running {
    number: u64,
    what: String,
    elsewhere: Option<&'static str>,
    started: Instant,
    note: String,
    /// When its last line went into the pipe.
    told: Option<Instant>,
}

/// Where a step says what it is doing.
#[derive(Debug, Clone, Copy)]
pub struct Note(u64);

impl Note {
    /// Says what the step is doing now.
    pub fn set(self, note: String) {
        let mut steps = steps();
        let mut running = steps.running.iter_mut();
        if let Some(step) = running.find(|step| step.number == self.0) {
            step.note = note;
        }
    }
}

/// One line on standard output.
pub fn say(line: &str) {
    steps().say(line);
}

/// The exit code of a command with this result. If it failed, prints the reason.
pub fn end(result: Result<()>) -> ExitCode {
    /// What a shell reports if Ctrl-C ended a program.
    const INTERRUPTED: u8 = 130;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "xtask: {error:#}");
            if error.is::<Interrupted>() {
                ExitCode::from(INTERRUPTED)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Runs one step.
///
/// # Errors
/// The step's.
pub fn step<T>(what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    run(what, None, |_| work())
}

/// Runs one step that can be long. `elsewhere` says how long it took on another machine; the step
/// says what it is doing in its [`Note`].
///
/// # Errors
/// The step's.
pub fn long_step<T>(
    what: &str,
    elsewhere: &'static str,
    work: impl FnOnce(Note) -> Result<T>,
) -> Result<T> {
    run(what, Some(elsewhere), work)
}

fn run<T>(
    what: &str,
    elsewhere: Option<&'static str>,
    work: impl FnOnce(Note) -> Result<T>,
) -> Result<T> {
    let started = Instant::now();
    let note = steps().begin(what, elsewhere, started);
    let result = work(note);
    let mark = if result.is_ok() { "ok" } else { "FAILED" };
    let time = seconds(started.elapsed());
    let mut steps = steps();
    steps.running.retain(|step| step.number != note.0);
    steps.say(&format!("{what:<58} {mark:>6} {time:>8}"));
    result
}

/// The name of one of several things that run at the same time.
#[derive(Debug, Clone, Copy)]
pub struct Strand(pub &'static str);

impl Strand {
    /// Runs one step of it.
    ///
    /// # Errors
    /// The step's.
    pub fn step<T>(self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        step(&format!("{}: {what}", self.0), work)
    }
}

/// A duration for people.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn steps() -> MutexGuard<'static, Steps> {
    STEPS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Steps {
    fn begin(&mut self, what: &str, elsewhere: Option<&'static str>, started: Instant) -> Note {
        let number = self.next;
        self.next += 1;
        self.running.push(Running {
            number,
            what: what.to_owned(),
            elsewhere,
            started,
            note: String::new(),
            told: None,
        });
        if !self.is_watched {
            self.is_watched = true;
            thread::spawn(watch);
        }
        Note(number)
    }

    fn say(&mut self, line: &str) {
        // A closed standard output does not stop the work.
        let erase = if self.is_drawn { "\r\x1b[2K" } else { "" };
        let _ = writeln!(std::io::stdout(), "{erase}{line}");
        self.is_drawn = false;
    }

    /// Prints what the steps are doing, if that is due.
    fn tell(&mut self) {
        if std::io::stdout().is_terminal() {
            self.draw();
            return;
        }
        let now = Instant::now();
        let mut lines = Vec::new();
        for step in &mut self.running {
            if step.is_due(now) {
                step.told = Some(now);
                lines.push(format!("  {}", step.line()));
            }
        }
        for line in lines {
            self.say(&line);
        }
    }

    fn draw(&mut self) {
        let lines: Vec<_> = self.running.iter().map(Running::line).collect();
        let line: String = lines.join(" | ").chars().take(COLUMNS).collect();
        let mut terminal = std::io::stdout();
        let _ = write!(terminal, "\r\x1b[2K{line}").and_then(|()| terminal.flush());
        self.is_drawn = true;
    }
}

impl Running {
    fn is_due(&self, now: Instant) -> bool {
        match self.told {
            None => now.duration_since(self.started) >= FIRST,
            Some(told) => now.duration_since(told) >= AGAIN,
        }
    }

    fn line(&self) -> String {
        let mut line = format!("{}: {} s", self.what, self.started.elapsed().as_secs());
        if !self.note.is_empty() {
            line.push_str(&format!(", {}", self.note));
        }
        if let Some(elsewhere) = self.elsewhere {
            line.push_str(&format!(" (elsewhere it took {elsewhere})"));
        }
        line
    }
}

/// Prints what the steps are doing, until none is running.
fn watch() {
    loop {
        thread::sleep(LOOK);
        let mut steps = steps();
        if steps.running.is_empty() {
            steps.is_watched = false;
            return;
        }
        steps.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_says_what_it_is_at_and_how_long_it_was_elsewhere() {
        let step = Running {
            number: 0,
            what: "build it".to_owned(),
            elsewhere: Some("6 min on 2 processors"),
            started: Instant::now(),
            note: "12 crates".to_owned(),
            told: None,
        };
        assert_eq!(
            step.line(),
            "build it: 0 s, 12 crates (elsewhere it took 6 min on 2 processors)"
        );
    }

    #[test]
    fn a_step_is_told_of_after_three_seconds_and_each_half_minute() {
        let started = Instant::now();
        let mut step = Running {
            number: 0,
            what: String::new(),
            elsewhere: None,
            started,
            note: String::new(),
            told: None,
        };
        assert!(!step.is_due(started + Duration::from_secs(2)));
        assert!(step.is_due(started + Duration::from_secs(3)));
        step.told = Some(started + Duration::from_secs(3));
        assert!(!step.is_due(started + Duration::from_secs(32)));
        assert!(step.is_due(started + Duration::from_secs(33)));
    }
}
