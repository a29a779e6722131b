//! The sealed image in QEMU, a stock WireGuard client, and the counter: what
//! `cargo xtask run`, `writes`, `audit` and `boots` show, judged claim by claim. That is in
//! `tests/`, and needs root; here is only how a test gets a report.

#![allow(
    clippy::unwrap_used,
    reason = "a set-up that fails is a test that fails"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The root of the sources.
pub fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The report that `cargo xtask WORDS` leaves in the file of that name, made anew. What the
/// command says of a failure is in the report, too.
pub fn report(words: &[&str], name: &str) -> Value {
    let path = tree().join(name);
    let _ = fs::remove_file(&path);
    Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .args(words)
        .current_dir(tree())
        .status()
        .unwrap();
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}
