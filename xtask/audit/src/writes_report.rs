//! The findings of `cargo xtask writes`.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use anyhow::{Context as _, Result};
use mayfly_host::tree;
use serde::{Deserialize, Serialize};

/// What came through, and the number of attempts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Writes {
    /// Nothing came through but what the work needs.
    #[serde(skip_serializing)]
    pub ok: bool,
    /// How many there are.
    pub attempts: usize,
    /// What came through anywhere.
    pub allowed: Vec<String>,
    /// For each layer, what came through with it removed.
    pub without: BTreeMap<String, Vec<String>>,
}

/// The part of `target/audit/writes.json` that the audit is about.
#[derive(Debug, Deserialize)]
pub(crate) struct Found {
    commit: String,
    #[serde(flatten)]
    pub writes: Writes,
    /// How many system calls the daemon may make.
    pub syscalls_allowed: usize,
    /// Words for a log that the shipped programs hold.
    pub log_strings: Vec<String>,
}

/// The findings on this commit; none if it was run on another commit, or never.
///
/// # Errors
/// Its report cannot be read.
pub(crate) fn of(commit: &str) -> Result<Option<Found>> {
    let text = match fs::read_to_string(tree().join("target/audit/writes.json")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.context("cannot read target/audit/writes.json")?,
    };
    parse(&text, commit)
}

fn parse(text: &str, commit: &str) -> Result<Option<Found>> {
    let found: Found = serde_json::from_str(text)
        .context("target/audit/writes.json is not understood: run `cargo xtask writes`")?;
    Ok(Some(found).filter(|found| found.commit == commit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_of_another_commit_are_not_taken_over() {
        let text = r#"{"commit": "a", "ok": true, "failures": [], "attempts": 136,
            "allowed": ["x"], "without": {"seccomp": ["y"]}, "syscalls_allowed": 42,
            "log_strings": [], "places": []}"#;
        let found = parse(text, "a").unwrap().unwrap();
        assert_eq!((found.writes.attempts, found.syscalls_allowed), (136, 42));
        assert!(parse(text, "b").unwrap().is_none());
    }
}
