//! The program's words about a settings text, and its exit status.

#![allow(clippy::unwrap_used, reason = "all of it is test code")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const EXAMPLE: &str = include_str!("../example.toml");

fn node(words: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayfly-node"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not want its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn good_settings_are_checked_and_nothing_is_started() {
    let output = node(&["--check", "--config", "-"], EXAMPLE);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert_eq!(output.stdout, b"settings 1 of node-1 are good\n");
}

#[test]
fn a_wrong_key_is_78_with_file_line_and_what_was_expected() {
    let text = EXAMPLE.replacen("serial = 1", "serial = 1\nverbose = true", 1);
    let line = 1 + text
        .lines()
        .position(|line| line.starts_with("verbose"))
        .unwrap();
    let output = node(&["--config", "-"], &text);
    assert_eq!(output.status.code(), Some(78));
    let expected =
        format!("mayfly-node: standard input:{line}: unknown field `verbose`, expected ");
    assert!(said(&output).starts_with(&expected), "{}", said(&output));
    assert_eq!(said(&output).lines().count(), 1);
}

#[test]
fn a_file_that_is_not_there_is_78_by_its_name() {
    let output = node(&["--config", "/nowhere/node.toml"], "");
    assert_eq!(output.status.code(), Some(78));
    assert!(
        said(&output).contains("/nowhere/node.toml: "),
        "{}",
        said(&output)
    );
}
