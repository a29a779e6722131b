//! `cargo xtask test`: everything that has to hold before a change lands.

mod built;
#[cfg(test)]
mod provided;
mod side_by_side;
mod step;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::progress::{say, seconds};
use mayfly_host::tree;
use serde::Serialize;

use self::step::{DEFAULT, Step};

/// `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these; one alone prints as it goes
    #[arg(value_enum)]
    steps: Vec<Step>,
}

/// How a step ended.
#[derive(Debug)]
struct Outcome {
    step: Step,
    time: Duration,
    result: Result<()>,
}

/// `target/test.json`.
#[derive(Serialize)]
struct Report {
    ok: bool,
    seconds: f64,
    steps: Vec<Line>,
}

/// A step in the report.
#[derive(Serialize)]
struct Line {
    step: String,
    seconds: f64,
    ok: bool,
}

/// Runs one step here, or several side by side; all of them, whatever the first ones say.
///
/// # Errors
/// A step failed.
pub(crate) fn test(args: &Args) -> Result<()> {
    let steps = match args.steps.as_slice() {
        [step] => return alone(*step),
        [] => DEFAULT,
        several => several,
    };
    let started = Instant::now();
    let done = side_by_side::run(steps)?;
    print(&done);
    write(&done, started.elapsed())?;
    let failed = done.iter().filter(|outcome| outcome.result.is_err());
    let failed = failed.count();
    ensure!(failed == 0, "{failed} of {} steps failed", done.len());
    Ok(())
}

fn alone(step: Step) -> Result<()> {
    say(&format!("== {}: {}", step.name(), step.about()));
    step.run()
}

fn print(done: &[Outcome]) {
    say("");
    for Outcome { step, time, result } in done {
        let word = match result {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("FAILED: {error:#}"),
        };
        say(&format!(
            "{:<10} {:>9}  {word}",
            step.name(),
            seconds(*time)
        ));
    }
}

fn write(done: &[Outcome], time: Duration) -> Result<()> {
    let line = |outcome: &Outcome| Line {
        step: outcome.step.name(),
        seconds: outcome.time.as_secs_f64(),
        ok: outcome.result.is_ok(),
    };
    let report = Report {
        ok: done.iter().all(|outcome| outcome.result.is_ok()),
        seconds: time.as_secs_f64(),
        steps: done.iter().map(line).collect(),
    };
    let path = tree().join("target/test.json");
    fs::write(&path, serde_json::to_vec_pretty(&report)?)
        .with_context(|| format!("cannot write {}", path.display()))
}
