//! `cargo xtask fuzz`: libFuzzer against the data plane. It needs a C++ compiler and nothing else.
//!
//! The stable compiler can do what cargo-fuzz does on a nightly one, except for the sanitizers.
//! These are not needed, since the crates under test have no `unsafe`: the fuzzer looks for panics,
//! overflows, and broken claims (see `tests/fuzz`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, step};
use mayfly_host::tree;

/// `cargo xtask fuzz`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Try only these
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// How long to try each, with new inputs every time
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// What is tried.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Target {
    /// Packets of a peer arrive whole and in order whatever trains they cross in
    Crossing,
    /// Frames of the TUN device with any header
    Frame,
    /// Datagrams from anywhere
    Datagram,
}

/// Flags that have edges and comparisons counted for libFuzzer.
const COUNTERS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 --cfg fuzzing";
/// Since the target is named, build scripts and macros are compiled without these flags.
const HOST: &str = "x86_64-unknown-linux-gnu";
/// Inputs for `cargo xtask test`, the same every time; seconds on a slow machine.
const INPUTS: u32 = 50_000;
/// Longest input, in bytes: enough for some dozen packets.
const LONGEST: u32 = 8_192;

/// What it starts.
pub(crate) const NEEDS: &[&[Need]] = &[packages::FUZZ];

/// Tries the targets, each for its time.
///
/// # Errors
/// A claim is broken. The input is kept, and the error says where.
pub(crate) fn fuzz(args: &Args) -> Result<()> {
    let targets = match args.targets.as_slice() {
        [] => Target::value_variants(),
        chosen => chosen,
    };
    run(targets, &format!("-max_total_time={}", args.seconds))
}

/// Tries all targets with the same inputs every time.
///
/// # Errors
/// See [`fuzz`].
pub(crate) fn test() -> Result<()> {
    run(Target::value_variants(), &format!("-runs={INPUTS} -seed=1"))
}

fn run(targets: &[Target], limit: &str) -> Result<()> {
    packages::provide(&NEEDS.concat())?;
    step("build with the fuzzer's counters", build)?;
    for target in targets {
        target.run(limit)?;
    }
    Ok(())
}

fn build() -> Result<()> {
    let output = Command::new(env!("CARGO"))
        .current_dir(tree())
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["--manifest-path", "tests/fuzz/Cargo.toml"])
        .args(["--target-dir", "target/fuzz", "--target", HOST])
        .env("RUSTFLAGS", COUNTERS)
        .output()
        .context("cannot run cargo")?;
    ensure!(
        output.status.success(),
        "cargo build failed\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

impl Target {
    fn run(self, limit: &str) -> Result<()> {
        let name = self
            .to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned());
        let findings = findings()?;
        let program = tree().join(format!("target/fuzz/{HOST}/release/{name}"));
        let output = Command::new(&program)
            .args(limit.split(' '))
            .args(["-len_control=0", &format!("-max_len={LONGEST}")])
            .arg(format!("-artifact_prefix={}/{name}-", findings.display()))
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{said}\nthe input is in {}; try it again by: {} FILE",
            findings.display(),
            program.display()
        );
        let inputs = said
            .lines()
            .find_map(|line| line.strip_prefix("Done "))
            .unwrap_or_default();
        say(&format!("{name:<10} {inputs}"));
        Ok(())
    }
}

fn findings() -> Result<PathBuf> {
    let path = tree().join("target/fuzz/findings");
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}
