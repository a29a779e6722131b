//! Several steps, as two strands that go on at the same time.
//!
//! ```text
//!   build the tests --+-- netns, boot                    the strand that waits
//!                     +-- fmt, clippy, image, unit ...   the strand that computes, at the lowest
//!                                                        priority
//! ```
//!
//! Each step is a process of its own, with a priority of its own. Its output is printed when it
//! ends, so that the lines of two steps do not mix.

use std::fs;
use std::io::{BufRead as _, BufReader, PipeReader, Write as _, pipe};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use mayfly_host::process::{self, Job};
use mayfly_host::progress::{self, Note, say};
use mayfly_host::{cargo, signals, tree};

use super::Outcome;
use super::built::Built;
use super::step::{Step, Strand};

/// How long a step may take: on a fresh machine, one builds a kernel.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Columns of the note that says what a step is at.
const NOTE: usize = 40;

/// Runs the steps; all of them, whatever the first ones say.
///
/// # Errors
/// The tests do not build, or a signal comes.
pub(super) fn run(steps: &[Step]) -> Result<Vec<Outcome>> {
    signals::watch()?;
    let built = match steps.iter().any(|step| step.runs_built()) {
        true => Some(Built::build()?.write()?),
        false => None,
    };
    let strand = |strand| {
        let steps = steps.iter().filter(move |step| step.strand() == strand);
        steps.map(|step| outcome(*step, built.as_deref())).collect()
    };
    let done: [Vec<_>; 2] = thread::scope(|scope| {
        let strands =
            [Strand::Waits, Strand::Computes].map(|name| scope.spawn(move || strand(name)));
        strands.map(|strand| strand.join().unwrap_or_default())
    });
    signals::check()?;
    let done = done.into_iter().flatten().collect::<Vec<_>>();
    ensure!(done.len() == steps.len(), "a step panicked");
    Ok(done)
}

fn outcome(step: Step, built: Option<&Path>) -> Outcome {
    let started = Instant::now();
    let name = step.name();
    // One of an earlier run must not be taken for this one's.
    let _ = fs::remove_file(log(&name));
    let result = progress::long_step(&format!("test {name}"), elsewhere(step), |note| {
        process_of(step, built, note)
    });
    if let Ok(log) = fs::read_to_string(log(&name)) {
        say(&format!("\n{log}"));
    }
    Outcome {
        step,
        time: started.elapsed(),
        result,
    }
}

/// Runs a step as a process, and keeps what it prints.
fn process_of(step: Step, built: Option<&Path>, note: Note) -> Result<()> {
    let name = step.name();
    let words: &[&str] = match step.strand() {
        Strand::Waits => &[],
        Strand::Computes => &["nice", "-n", "19"],
    };
    let mut command = process::command(words.iter().copied());
    command.arg(cargo::program("xtask")).args(["test", &name]);
    if let Some(built) = built {
        command.env(cargo::BUILT, built);
    }
    let (printed, writer) = pipe().context("cannot make a pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut job = Job::start(&mut command, &name)?;
    // The reader reaches the end only when every copy of the writer is closed.
    drop(command);
    let log = log(&name);
    let reader = thread::spawn(move || keep(printed, &log, note));
    let status = job.wait(LIMIT)?;
    drop(job);
    reader.join().map_err(|_| anyhow!("a panic"))??;
    ensure!(status.success(), "see above");
    Ok(())
}

/// Writes down what is printed, and says the newest line.
fn keep(printed: PipeReader, log: &Path, note: Note) -> Result<()> {
    let directory = log.parent().unwrap_or(log);
    fs::create_dir_all(directory)?;
    let mut log = fs::File::create(log).context("cannot write a log")?;
    for line in BufReader::new(printed).split(b'\n').map_while(Result::ok) {
        log.write_all(&line)?;
        log.write_all(b"\n")?;
        let line = String::from_utf8_lossy(&line);
        let plain = line.chars().filter(|sign| !sign.is_control());
        note.set(plain.take(NOTE).collect());
    }
    Ok(())
}

fn log(name: &str) -> PathBuf {
    tree().join(format!("target/test/{name}.log"))
}

/// How long a step took on two cores, in a run of all steps, with no target directory and a kept
/// kernel.
fn elsewhere(step: Step) -> &'static str {
    match step {
        Step::Netns | Step::Image => "eight minutes",
        Step::Boot => "five minutes",
        Step::Boots => "six minutes",
        Step::Unit => "four minutes",
        Step::Clippy => "two minutes",
        Step::Fmt | Step::Doc | Step::Deny | Step::Sim | Step::Fuzz | Step::Api => "a minute",
    }
}
