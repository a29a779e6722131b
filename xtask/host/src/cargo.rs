//! cargo: the programs that a verb starts are built first, and are where cargo put them.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::{process, tree};

/// How long a build may take, on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(3600);

/// cargo: the one that runs us, if there is one.
pub fn path() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A call of cargo in the work tree, which ends with us.
pub fn command() -> Command {
    let mut command = process::command([]);
    command.arg(path()).current_dir(tree());
    command
}

/// Builds what `words` ask for into the tree's own target directory.
///
/// # Errors
/// It does not build.
pub fn build(words: &str) -> Result<()> {
    let mut command = command();
    command
        .args(["build", "--locked"])
        .args(words.split_whitespace())
        .arg("--target-dir")
        .arg(tree().join("target"));
    process::output(&mut command, "cargo build", LIMIT).map(drop)
}

/// A program that [`build`] has built for people who develop it, not for the image.
pub fn program(name: &str) -> PathBuf {
    tree().join("target/debug").join(name)
}
