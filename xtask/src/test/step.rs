//! The parts of the check: what each is, what it needs and what it runs.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use mayfly_host::packages::{self, Need};
use mayfly_host::{cargo, tree};

use super::built::Built;
use crate::{api, deny, fuzz};

/// One part of the check, and what it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// rustfmt has nothing to change
    Fmt,
    /// clippy has nothing to say, tests included
    Clippy,
    /// cargo doc has nothing to say, private items included
    Doc,
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

/// What runs if nothing is named, in this order within a strand.
pub(super) const DEFAULT: &[Step] = &[
    Step::Fmt,
    Step::Clippy,
    Step::Doc,
    Step::Image,
    Step::Deny,
    Step::Unit,
    Step::Sim,
    Step::Fuzz,
    Step::Api,
    Step::Netns,
    Step::Boot,
];

/// What the tests start that need no rights.
pub(super) const UNIT: &[&[Need]] = &[packages::UNIT, packages::DATABASE];
/// What the tests between namespaces start.
pub(super) const NETNS: &[&[Need]] = &[packages::NETWORK, packages::NETNS];

/// Two steps of different strands can go on at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strand {
    /// Its steps wait most of the time: for a protocol's own time, or for a machine that boots.
    Waits,
    /// Its steps compile and compute, and can have what the other strand leaves of the processors.
    Computes,
}

impl Step {
    /// Runs it here, and prints what it prints.
    pub(super) fn run(self) -> Result<()> {
        if self.strand() == Strand::Waits {
            packages::require_root()?;
        }
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
            Self::Doc => doc(),
            Self::Deny => deny::test(),
            Self::Unit => {
                packages::provide(&UNIT.concat())?;
                let built = Built::get()?;
                let tests = built.run(|test| !matches!(test.package(), "netns" | "boot"), &[]);
                tests.and(cargo("test --locked --workspace --no-fail-fast --doc"))
            }
            Self::Sim => cargo(
                "test --locked --no-fail-fast --manifest-path tests/sim/Cargo.toml --target-dir target/sim",
            ),
            Self::Fuzz => fuzz::test(),
            Self::Api => api::test(),
            Self::Netns => {
                packages::provide(&NETNS.concat())?;
                Built::get()?.run_by_twos(|test| test.package() == "netns")
            }
            Self::Image => image(),
            Self::Boot => Built::get()?.run(
                |test| test.package() == "boot" && test.name != "boots",
                &["--nocapture", "--test-threads=1"],
            ),
            Self::Boots => {
                Built::get()?.run(|test| test.package() == "boot" && test.name == "boots", &[])
            }
        }
    }

    pub(super) fn strand(self) -> Strand {
        match self {
            Self::Netns | Self::Boot | Self::Boots => Strand::Waits,
            _ => Strand::Computes,
        }
    }

    /// It runs tests that [`Built`] lists.
    pub(super) fn runs_built(self) -> bool {
        matches!(self, Self::Unit | Self::Netns | Self::Boot | Self::Boots)
    }

    pub(super) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    pub(super) fn about(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }
}

/// This program again: the second build starts it a third time, and finds it by its name.
fn image() -> Result<()> {
    let xtask = env::current_exe().context("this program has no name")?;
    let status = Command::new(xtask)
        .args(["image", "--verify"])
        .status()
        .context("cannot run xtask")?;
    ensure!(status.success(), "xtask image --verify failed");
    Ok(())
}

/// A link that leads nowhere is an error.
fn doc() -> Result<()> {
    let mut command = cargo_command("doc --locked --workspace --no-deps --document-private-items");
    let status = command.env("RUSTDOCFLAGS", "-Dwarnings").status();
    let status = status.context("cannot run cargo")?;
    ensure!(status.success(), "cargo doc failed");
    Ok(())
}

fn cargo(words: &str) -> Result<()> {
    let status = cargo_command(words).status().context("cannot run cargo")?;
    let verb = words.split(' ').next().unwrap_or(words);
    ensure!(status.success(), "cargo {verb} failed");
    Ok(())
}

fn cargo_command(words: &str) -> Command {
    let mut command = Command::new(cargo::path());
    command.current_dir(tree()).args(words.split_whitespace());
    command
}
