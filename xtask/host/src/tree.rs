//! The work tree that this was built in, and the commit that it is at.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The environment variable that names a copy of the tree to work in.
pub const TREE: &str = "MAYFLY_TREE";

/// The top of the work tree: the one that this was built in, unless [`TREE`] names a copy.
pub fn tree() -> PathBuf {
    if let Some(copy) = env::var_os(TREE) {
        return PathBuf::from(copy);
    }
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).unwrap_or(this).to_owned()
}

/// The commit that the work tree is at.
///
/// # Errors
/// git cannot be started.
pub fn commit() -> Result<String> {
    let output = Command::new("git")
        .current_dir(tree())
        .args(["rev-parse", "HEAD"])
        .output()
        .context("cannot run git")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
