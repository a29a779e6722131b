//! `cargo xtask fresh`: every command of the README on a machine where nothing was installed.
//!
//! A machine on which people develop has most programs and a full cache, so a command that lacks
//! something fails only for strangers. Here each command starts on a bare Debian 12 with Rust:
//! Debian's essential packages, apt, a linker, and nothing else. What earlier commands built stays
//! for the next one, as it would for a stranger; what they installed does not, so that each
//! command has to provide what it starts. Of the host's caches only crates' downloads are there.

mod machine;
mod readme;
mod watch;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, seconds};
use mayfly_host::{signals, tree};
use serde::Serialize;

use self::machine::Machine;
use self::watch::Outcome;

/// `cargo xtask fresh`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the commands that have these words in them; may be given several times
    #[arg(long)]
    only: Vec<String>,
}

/// What it starts.
pub(crate) const NEEDS: &[&[Need]] = &[packages::FRESH];

/// `target/fresh.json`
#[derive(Debug, Serialize)]
struct Report {
    schema: u32,
    /// What was cloned.
    commit: String,
    /// The version of the bare Debian.
    debian: String,
    /// Each command succeeded.
    ok: bool,
    /// In the order in which they ran.
    commands: Vec<Outcome>,
}

/// Runs the commands, and writes `target/fresh.json`.
///
/// # Errors
/// A command failed, or there is no bare Debian to be had.
pub(crate) fn fresh(args: &Args) -> Result<()> {
    signals::watch()?;
    packages::require_root()?;
    packages::provide(&NEEDS.concat())?;
    let commands = readme::commands(&args.only)?;
    let folder = Folder::take(tree().join("target/fresh"))?;
    let machine = Machine::make(&folder.path)?;
    let mut report = Report {
        schema: 1,
        commit: mayfly_host::commit()?,
        debian: machine.debian()?,
        ok: false,
        commands: Vec::new(),
    };
    for (number, command) in commands.iter().enumerate() {
        say(&format!("\n$ {command}"));
        let log = folder.path.join(format!("{:02}.log", number + 1));
        let outcome = watch::run(&machine, command, &log)?;
        say(&outcome.line());
        report.commands.push(outcome);
        report.ok = report.commands.iter().all(Outcome::is_good);
        report.write()?;
    }
    report.print();
    say("report: target/fresh.json; what each command printed: target/fresh");
    let failed = report.commands.iter().filter(|outcome| !outcome.is_good());
    let failed: Vec<_> = failed.map(|outcome| outcome.command.as_str()).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join("; "));
    Ok(())
}

impl Report {
    fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(tree().join("target/fresh.json"), text + "\n").context("cannot write fresh.json")
    }

    fn print(&self) {
        say(&format!(
            "\n{:<52} {:>6} {:>10} {:>10} {:>10}",
            "command", "exit", "took", "computed", "silent"
        ));
        for outcome in &self.commands {
            say(&outcome.row());
            for line in &outcome.wanted {
                say(&format!("    wanted: {line}"));
            }
        }
        let time = self.commands.iter().map(|outcome| outcome.time());
        say(&format!("all of them: {}", seconds(time.sum())));
    }
}

/// Where the machine and the logs are. The machine goes with the value, the logs stay.
struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process, and removes what a killed one left.
    ///
    /// # Errors
    /// Another process has it.
    fn take(path: PathBuf) -> Result<Self> {
        fs::create_dir_all(&path).context("cannot make target/fresh")?;
        let lock = File::create(path.join(".lock")).context("cannot write into target/fresh")?;
        ensure!(lock.try_lock().is_ok(), "another fresh is running");
        clear(&path)?;
        for entry in fs::read_dir(&path)? {
            let entry = entry?.path();
            if entry
                .extension()
                .is_some_and(|extension| extension == "log")
            {
                fs::remove_file(entry)?;
            }
        }
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = clear(&self.path) {
            say(&format!("left: {error:#}"));
        }
    }
}

/// Removes the machine. Nothing is mounted there: mounts are in a namespace of the command's own,
/// which ended with it.
fn clear(folder: &Path) -> Result<()> {
    for part in machine::PARTS {
        let part = folder.join(part);
        if part.exists() {
            fs::remove_dir_all(&part)
                .with_context(|| format!("cannot remove {}", part.display()))?;
        }
    }
    Ok(())
}
