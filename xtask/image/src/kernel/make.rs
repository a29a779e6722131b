//! The steps from the locked source to a kernel: unpack, patch, configure, check, make.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::progress::{self, Note};
use mayfly_host::{process, tree};

use crate::config::{self, Demand};
use crate::lock::Source;

/// The environment of `make`, beside PATH. The kernel must not contain who built it, when and
/// where.
pub(super) const ENVIRONMENT: [(&str, &str); 6] = [
    ("ARCH", "x86_64"),
    ("LC_ALL", "C"),
    ("KBUILD_BUILD_TIMESTAMP", "1970-01-01T00:00:00Z"),
    ("KBUILD_BUILD_USER", "mayfly"),
    ("KBUILD_BUILD_HOST", "mayfly"),
    ("KBUILD_BUILD_VERSION", "1"),
];

/// Steps that `make` announces for a sealed kernel of Linux 6.12, from nothing.
const STEPS: usize = 1_850;

/// The version that a tool prints.
///
/// # Errors
/// It cannot be started.
pub(super) fn version(tool: &str) -> Result<String> {
    let output = Command::new(tool)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run {tool}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `image/patches/*.patch`, in the order of their names.
pub(super) fn patches() -> Result<Vec<PathBuf>> {
    let directory = tree().join("image/patches");
    let mut patches = fs::read_dir(&directory)
        .and_then(|entries| {
            entries
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()
        })
        .context("cannot list image/patches")?;
    patches.retain(|path| path.extension().is_some_and(|end| end == "patch"));
    patches.sort();
    Ok(patches)
}

pub(super) fn unpack(source: &Source, into: &Path) -> Result<()> {
    progress::long_step("kernel: unpack the source", "20 s", |_| {
        let output = process::command(["tar", "--extract", "--strip-components=1"])
            .arg("--file")
            .arg(&source.tarball)
            .arg("--directory")
            .arg(into)
            .output()
            .context("cannot run tar")?;
        ensure!(
            output.status.success(),
            "cannot unpack {}:\n{}",
            source.tarball.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    })
}

pub(super) fn patch(patches: &[PathBuf], source: &Path) -> Result<()> {
    for patch in patches {
        let output = Command::new("patch")
            .current_dir(source)
            .args(["--strip=1", "--batch", "--fuzz=0", "--input"])
            .arg(patch)
            .output()
            .context("cannot run patch")?;
        ensure!(
            output.status.success(),
            "{} does not apply:\n{}",
            patch.display(),
            String::from_utf8_lossy(&output.stdout)
        );
    }
    Ok(())
}

/// Writes the configuration: `allnoconfig` plus the demands.
pub(super) fn configure(demands: &[Demand], source: &Path) -> Result<()> {
    let asked = source.join("mayfly.config");
    fs::write(&asked, config::to_text(demands)).context("cannot write the configuration")?;
    let output = make(source)
        .arg("allnoconfig")
        .env("KCONFIG_ALLCONFIG", &asked)
        .output()
        .context("cannot run make")?;
    ensure!(
        output.status.success(),
        "make allnoconfig failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let config = fs::read_to_string(source.join(".config")).context("make left no .config")?;
    config::check(demands, &config)
}

/// Makes the kernel, as the step `what`.
pub(super) fn compile(what: &str, elsewhere: &'static str, source: &Path) -> Result<()> {
    progress::long_step(what, elsewhere, |note| run(source, note))
}

fn run(source: &Path, note: Note) -> Result<()> {
    let jobs = process::jobs();
    let mut make = make(source)
        .arg(format!("--jobs={jobs}"))
        .arg("bzImage")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run make")?;
    let complaints = make.stderr.take();
    let complaints = thread::spawn(|| complaints.map(last_lines).unwrap_or_default());
    if let Some(stdout) = make.stdout.take() {
        let announced = BufReader::new(stdout).lines().map_while(Result::ok);
        for (step, _) in announced.enumerate() {
            note.set(format!("step {step} of {STEPS} at most"));
        }
    }
    let status = make.wait()?;
    ensure!(
        status.success(),
        "the kernel does not build:\n{}",
        complaints.join().unwrap_or_default()
    );
    Ok(())
}

/// The last lines of a program's standard error, which say why it failed.
fn last_lines(complaints: impl io::Read) -> String {
    const KEPT: usize = 30;
    let mut last = VecDeque::new();
    for line in BufReader::new(complaints).lines().map_while(Result::ok) {
        if last.len() == KEPT {
            last.pop_front();
        }
        last.push_back(line);
    }
    Vec::from(last).join("\n")
}

/// Ends with us, however we end; by SIGTERM, which make passes on to all that it started. The
/// next make in this tree waits until the last of them is gone.
fn make(source: &Path) -> Command {
    let mut make = Command::new("setpriv");
    make.args(["--pdeathsig", "TERM", "--", "flock", "--no-fork"])
        .args([".mayfly-lock", "make"])
        .stdin(Stdio::null())
        .current_dir(source)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(ENVIRONMENT);
    make
}
