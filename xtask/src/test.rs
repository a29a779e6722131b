//! `cargo xtask test`: everything that has to hold before a change lands.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, seconds};
use mayfly_host::tree;

use crate::{api, deny, fuzz};

/// `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these, in the order given
    #[arg(value_enum)]
    steps: Vec<Step>,
}

/// One part of the check, and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// rustfmt has nothing to change
    Fmt,
    /// clippy has nothing to say, tests included
    Clippy,
    /// No dependency is under a licence that would bind us, from elsewhere, or known to be at fault
    Deny,
    /// Tests that need no rights, some with a PostgreSQL server of their own
    Unit,
    /// WireGuard in simulated time
    Sim,
    /// Some ten thousand inputs that a fuzzer finds worth trying
    Fuzz,
    /// The account service against its own description, by what schemathesis makes of it
    Api,
    /// The daemon between network namespaces; needs root
    Netns,
    /// The image in QEMU, with a stock client; needs root
    Boot,
    /// The image started in every way that an operator may; only if named; needs root
    Boots,
    /// Two builds of the image are equal, with one kernel
    Image,
}

/// What the tests start that need no rights.
const UNIT: &[&[Need]] = &[packages::UNIT, packages::DATABASE];
/// What the tests between namespaces start.
const NETNS: &[&[Need]] = &[packages::NETWORK, packages::NETNS];

/// What runs if nothing is named.
const DEFAULT: &[Step] = &[
    Step::Fmt,
    Step::Clippy,
    Step::Deny,
    Step::Unit,
    Step::Sim,
    Step::Fuzz,
    Step::Api,
    Step::Netns,
    Step::Boot,
    Step::Image,
];

/// Runs the steps; all of them, whatever the first ones say.
///
/// # Errors
/// A step failed.
pub(crate) fn test(args: &Args) -> Result<()> {
    let steps = match args.steps.as_slice() {
        [] => DEFAULT,
        chosen => chosen,
    };
    let done: Vec<_> = steps.iter().map(|step| run(*step)).collect();
    say("");
    for Outcome { step, time, result } in &done {
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
    let failed: Vec<_> = done
        .iter()
        .filter(|outcome| outcome.result.is_err())
        .collect();
    ensure!(
        failed.is_empty(),
        "{} of {} steps failed",
        failed.len(),
        done.len()
    );
    Ok(())
}

struct Outcome {
    step: Step,
    time: Duration,
    result: Result<()>,
}

fn run(step: Step) -> Outcome {
    say(&format!("\n== {}: {}", step.name(), step.about()));
    let started = Instant::now();
    let result = step.run();
    Outcome {
        step,
        time: started.elapsed(),
        result,
    }
}

impl Step {
    fn run(self) -> Result<()> {
        match self {
            Self::Fmt => {
                cargo("fmt --all --check")?;
                cargo("fmt --manifest-path tests/sim/Cargo.toml --check")?;
                cargo("fmt --manifest-path tests/fuzz/Cargo.toml --check")
            }
            Self::Clippy => {
                cargo("clippy --locked --workspace --all-targets -- -D warnings")?;
                cargo(
                    "clippy --locked --all-targets --manifest-path tests/sim/Cargo.toml --target-dir target/sim -- -D warnings",
                )?;
                cargo(
                    "clippy --locked --manifest-path tests/fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings",
                )
            }
            Self::Deny => deny::test(),
            Self::Unit => {
                packages::provide(&UNIT.concat())?;
                cargo_test("--workspace --exclude mayfly-netns --exclude mayfly-boot")
            }
            Self::Sim => cargo_test("--manifest-path tests/sim/Cargo.toml --target-dir target/sim"),
            Self::Fuzz => fuzz::test(),
            Self::Api => api::test(),
            Self::Netns => {
                packages::require_root()?;
                packages::provide(&NETNS.concat())?;
                cargo_test("--package mayfly-netns")
            }
            Self::Image => cargo("run --quiet --locked --package xtask -- image --verify"),
            Self::Boot => {
                packages::require_root()?;
                let claims = "--test run --test writes --test audit";
                cargo_test(&format!(
                    "--package mayfly-boot {claims} -- --nocapture --test-threads=1"
                ))
            }
            Self::Boots => {
                packages::require_root()?;
                cargo_test("--package mayfly-boot --test boots")
            }
        }
    }

    fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn about(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }
}

/// Runs tests; all of them, whatever the first ones say.
fn cargo_test(words: &str) -> Result<()> {
    cargo(&format!("test --locked --no-fail-fast {words}"))
}

fn cargo(words: &str) -> Result<()> {
    let status = cargo_command(words).status().context("cannot run cargo")?;
    let verb = words.split(' ').next().unwrap_or(words);
    ensure!(status.success(), "cargo {verb} failed");
    Ok(())
}

fn cargo_command(words: &str) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(tree()).args(words.split_whitespace());
    command
}

#[cfg(test)]
mod provided;
