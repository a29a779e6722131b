//! `cargo xtask`: what people do with this tree.
//!
//! `run` shows the whole product at work on this machine, `test` checks it, `bench` measures it,
//! `fuzz`, `writes` and `audit` attack it and look whether it forgets, `image`, `keys` and `lock`
//! build what servers boot, and `fresh` does all of that as a stranger would, on a bare Debian. Use
//! cargo itself for everything else.
//!
//! Only the verbs are here, with `test`, `fuzz`, `api` and `fresh`; the folders beside `src` are the
//! libraries that do the work. xtask uses no crate of the product: it runs the same programs that
//! people run, so what it shows is what they get. It provides packages before it starts, and
//! removes everything that it started, after success, failure or Ctrl-C; the next run removes what
//! a killed one left.

mod api;
mod deny;
mod fresh;
mod fuzz;
mod pypi;
mod test;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use mayfly_host::cargo;
use mayfly_host::progress::{end, say};

#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", about = "What people do with this tree")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Boot a node in QEMU, send a customer through it, and show the counter at work
    ///
    /// Needs root. Writes target/run/report.json.
    Run(mayfly_run::Args),
    /// Look for a customer in the memory of a node that should have forgotten
    ///
    /// Needs root. Writes target/audit.json and target/audit.html.
    Audit(Words),
    /// Measure what a gigabyte costs, beside other servers
    ///
    /// Needs root. Writes target/bench.json and target/bench.svg.
    Bench(Words),
    /// Start the image in every way that an operator may: BIOS and UEFI, network and CD
    ///
    /// Needs root. Writes target/boots.json.
    Boots(mayfly_boots::Args),
    /// Run every command of the README on a bare Debian where nothing was installed
    ///
    /// Needs root, and hours without --only. Writes target/fresh.json.
    Fresh(fresh::Args),
    /// Look for an input that breaks the data plane
    Fuzz(fuzz::Args),
    /// Check formatting, lints and dependencies, and run all tests
    ///
    /// Without arguments it runs every step. The tests `netns` and `boot` need root.
    Test(test::Args),
    /// Build what servers boot, and what goes with it
    ///
    /// Writes target/image, or target/image/PROFILE for another profile than sealed.
    Image(mayfly_image::Args),
    /// Make a set of keys for testing: settings, Secure Boot, iPXE, minisign
    Keys(mayfly_image::keys::Args),
    /// Try to leave something behind from inside every confinement, here and in the image
    ///
    /// Needs root. Writes target/audit/writes.json.
    Writes(Words),
    /// Say which kernel source the image is built from
    Lock {
        /// Move the lock to the source that is installed
        #[arg(long)]
        update: bool,
    },
}

fn main() -> ExitCode {
    end(dispatch(Cli::parse().verb))
}

fn dispatch(verb: Verb) -> Result<()> {
    match verb {
        Verb::Run(args) => mayfly_run::run(&args)?.verdict(),
        Verb::Audit(args) => apart("mayfly-audit", "audit", &args),
        Verb::Bench(args) => apart("mayfly-bench", "bench", &args),
        Verb::Boots(args) => mayfly_boots::boots(&args)?.verdict(),
        Verb::Fresh(args) => fresh::fresh(&args),
        Verb::Fuzz(args) => fuzz::fuzz(&args),
        Verb::Test(args) => test::test(&args),
        Verb::Image(args) => mayfly_image::image(&args),
        Verb::Keys(args) => mayfly_image::keys::keys(&args),
        Verb::Writes(args) => apart("mayfly-audit", "writes", &args),
        Verb::Lock { update } => show_lock(update),
    }
}

/// The arguments of a verb that is a program of its own, `--help` included.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
struct Words {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    words: Vec<OsString>,
}

/// Becomes the program of a verb that links many crates: no other verb waits until these are
/// compiled.
fn apart(package: &str, verb: &str, words: &Words) -> Result<()> {
    let error = Command::new(cargo::path())
        .args(["run", "--locked", "--package", package, "--", verb])
        .args(&words.words)
        .exec();
    Err(error).context("cannot run cargo")
}

fn show_lock(update: bool) -> Result<()> {
    let moved = update && mayfly_image::lock::update()?;
    let kernel = mayfly_image::lock::Lock::read()?.kernel;
    let word = if moved { "moved to" } else { "is at" };
    say(&format!(
        "the lock {word} {} {}",
        kernel.package, kernel.version
    ));
    Ok(())
}
