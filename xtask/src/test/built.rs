//! Every test and program of the workspace, built by one call of cargo.
//!
//! One call, because cargo unites the features of what it builds together. With a call for each
//! step, most dependencies would be compiled once a step, each time with other features. The tests
//! are then started without cargo, so that no step waits for the lock on the target directory.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::progress::say;
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
        let mut failed = Vec::new();
        let mut count = 0;
        for test in self.0.iter().filter(|test| chosen(test)) {
            count += 1;
            say(&format!("\n{} {}", test.package(), test.name));
            if !test.succeeds(words)? {
                failed.push(format!("{} {}", test.package(), test.name));
            }
        }
        ensure!(count > 0, "there are no such tests");
        ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
        Ok(())
    }
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

    fn succeeds(&self, words: &[&str]) -> Result<bool> {
        let status = Command::new(&self.program)
            .args(words)
            .current_dir(&self.directory)
            .status()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        Ok(status.success())
    }
}
