//! Every test and program of the workspace, built by one call of cargo.
//!
//! One call, because cargo unites the features of what it builds together. With a call for each
//! step, most dependencies would be compiled once a step, each time with other features. The tests
//! are then started without cargo, so that no step waits for the lock on the target directory.

use std::collections::VecDeque;
use std::env;
use std::fs;
use std::iter;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use mayfly_host::progress::{say, seconds};
use mayfly_host::{cargo, tree};
use serde::{Deserialize, Serialize};

/// The tests, each a program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Built(Vec<Test>);

/// One program of tests.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Test {
    /// The directory of its package, where it runs.
    directory: PathBuf,
    /// Its name in its package.
    pub(super) name: String,
    program: PathBuf,
}

/// What cargo says of a target that it has built.
#[derive(Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

impl Built {
    /// The list that a step has been handed; otherwise builds the tests.
    pub(super) fn get() -> Result<Self> {
        let Some(list) = env::var_os(cargo::BUILT) else {
            return Self::build();
        };
        let list = fs::read_to_string(list).context("the list of tests is missing")?;
        serde_json::from_str(&list).context("the list of tests is not understood")
    }

    /// Builds the tests, and the programs that they start.
    pub(super) fn build() -> Result<Self> {
        let mut command = cargo::command();
        command.args([
            "build",
            "--locked",
            "--workspace",
            "--all-targets",
            "--message-format=json-render-diagnostics",
        ]);
        let messages = cargo::messages(
            "build the workspace's tests and programs",
            "four minutes of two processors",
            &mut command,
        )?;
        let tests = messages
            .lines()
            .filter_map(|line| Test::of(serde_json::from_str(line).ok()?));
        Ok(Self(tests.collect()))
    }

    /// Leaves the list where a step finds it.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let path = tree().join("target/test/built.json");
        fs::create_dir_all(tree().join("target/test"))?;
        fs::write(&path, serde_json::to_vec(self)?).context("cannot write the list of tests")?;
        Ok(path)
    }

    /// Runs the programs that are `chosen`, one after the other, with these words; all of them,
    /// whatever the first ones say.
    pub(super) fn run(&self, chosen: impl Fn(&Test) -> bool, words: &[&str]) -> Result<()> {
        let start = |test: &Test| {
            say(&test.headline());
            Ok(test.command(words).status()?.success())
        };
        verdict(self.of(chosen).map(|test| (test, start(test))))
    }

    /// The same, two at a time: programs that wait most of the time. What one prints is printed when
    /// it ends.
    pub(super) fn run_by_twos(&self, chosen: impl Fn(&Test) -> bool) -> Result<()> {
        let waiting = Mutex::new(self.of(chosen).collect::<VecDeque<_>>());
        let next = || waiting.lock().ok()?.pop_front();
        let runner = || {
            let started = iter::from_fn(next).map(|test| (test, test.succeeds_aloud()));
            started.collect::<Vec<_>>()
        };
        let done = thread::scope(|scope| {
            let runners = [scope.spawn(runner), scope.spawn(runner)];
            let done = runners.into_iter().map(|runner| runner.join());
            done.collect::<thread::Result<Vec<_>>>()
        });
        let done = done.map_err(|_| anyhow!("a panic"))?;
        verdict(done.into_iter().flatten())
    }

    fn of(&self, chosen: impl Fn(&Test) -> bool) -> impl Iterator<Item = &Test> {
        self.0.iter().filter(move |test| chosen(test))
    }
}

/// Whether there are programs, and all have succeeded.
fn verdict<'a>(done: impl Iterator<Item = (&'a Test, Result<bool>)>) -> Result<()> {
    let mut failed = Vec::new();
    let mut count = 0;
    for (test, succeeds) in done {
        count += 1;
        if !succeeds.with_context(|| format!("cannot run {}", test.program.display()))? {
            failed.push(format!("{} {}", test.package(), test.name));
        }
    }
    ensure!(count > 0, "there are no such tests");
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

impl Test {
    fn of(message: Message) -> Option<Self> {
        message.profile.filter(|profile| profile.test)?;
        Some(Self {
            directory: message.manifest_path?.parent()?.to_owned(),
            name: message.target?.name,
            program: message.executable?,
        })
    }

    /// The name of its package's directory.
    pub(super) fn package(&self) -> &str {
        let name = self.directory.file_name();
        name.and_then(|name| name.to_str()).unwrap_or_default()
    }

    fn headline(&self) -> String {
        format!("\n{} {}", self.package(), self.name)
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).current_dir(&self.directory);
        command
    }

    /// Runs it to its end, and then prints what it has printed.
    fn succeeds_aloud(&self) -> Result<bool> {
        let (started, output) = (Instant::now(), self.command(&[]).output()?);
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        let (head, took) = (self.headline(), seconds(started.elapsed()));
        say(&format!("{head}, {took}\n{}", printed.trim_end()));
        Ok(output.status.success())
    }
}
