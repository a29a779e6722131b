//! Calls of cargo: a verb builds the programs that it starts, and finds them where cargo put
//! them.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Seek as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, Job};
use crate::progress::{self, Note};
use crate::tree;

/// How long a build may take, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Lines of cargo's output in the error if it fails.
const KEPT: usize = 40;

/// cargo: the one that runs us, if there is one.
pub fn path() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A call of cargo in the work tree. It ends when this process ends.
///
/// It does not get the variables in which `cargo run` names this program's own package. Some build
/// scripts read them, and cargo would compile their crates again for each program that calls it.
pub fn command() -> Command {
    let mut command = process::command([]);
    command.arg(path()).current_dir(tree());
    let of_package = |name: &OsString| {
        let name = name.to_string_lossy();
        name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
    };
    for (name, _) in env::vars_os().filter(|(name, _)| of_package(name)) {
        command.env_remove(name);
    }
    command
}

/// The variable by which `cargo xtask test` tells its steps that the whole workspace is built. It
/// names the file that lists the tests.
pub const BUILT: &str = "MAYFLY_BUILT";

/// Builds what `words` ask for into the tree's own target directory, as the step `what`; nothing, if
/// that is done ([`BUILT`]). `elsewhere` says how long it took on a fresh machine.
///
/// # Errors
/// It does not build.
pub fn build(what: &str, elsewhere: &'static str, words: &str) -> Result<()> {
    if env::var_os(BUILT).is_some() {
        return Ok(());
    }
    let mut command = command();
    command
        .args(["build", "--locked"])
        .args(words.split_whitespace())
        .arg("--target-dir")
        .arg(tree().join("target"));
    run(what, elsewhere, &mut command)
}

/// Runs a call of cargo as the step `what`, which counts the crates that are compiled.
///
/// # Errors
/// cargo fails; the error has its last lines.
pub fn run(what: &str, elsewhere: &'static str, command: &mut Command) -> Result<()> {
    progress::long_step(what, elsewhere, |note| {
        let mut job = Job::start(command.stderr(Stdio::piped()), "cargo")?;
        let printed = job.stderr();
        let reader = thread::spawn(move || printed.map(|printed| follow(printed, note)));
        let status = job.wait(LIMIT)?;
        let last = reader.join().ok().flatten().unwrap_or_default();
        ensure!(status.success(), "{what}: cargo failed\n{last}");
        Ok(())
    })
}

/// As [`run`]; returns what cargo prints on standard output.
///
/// # Errors
/// As [`run`].
pub fn messages(what: &str, elsewhere: &'static str, command: &mut Command) -> Result<String> {
    let mut printed = tempfile::tempfile().context("cannot make a temporary file")?;
    run(what, elsewhere, command.stdout(printed.try_clone()?))?;
    let mut messages = String::new();
    printed.rewind()?;
    printed.read_to_string(&mut messages)?;
    Ok(messages)
}

/// A program that [`build`] has built for people who develop it, not for the image.
pub fn program(name: &str) -> PathBuf {
    tree().join("target/debug").join(name)
}

/// Counts the crates that are compiled, and returns the last lines.
fn follow(printed: impl Read, note: Note) -> String {
    let mut crates = 0;
    let mut last = VecDeque::with_capacity(KEPT);
    for line in BufReader::new(printed).lines().map_while(Result::ok) {
        if let Some(name) = line.trim_start().strip_prefix("Compiling ") {
            crates += 1;
            let name = name.split(' ').next().unwrap_or_default();
            note.set(format!("crate {crates}, {name}"));
        }
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}
