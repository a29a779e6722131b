//! The floors of this crate: no source file names a module of a floor above its own.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// From the top to the bottom, as the head of `lib.rs` draws them.
const FLOORS: [&str; 8] = [
    "http", "service", "cli", "counter", "keys", "store", "core", "config",
];

#[test]
fn no_source_file_names_a_floor_above_its_own() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut upwards = Vec::new();
    let mut arrows = 0;
    for path in files(&source) {
        let name = path.strip_prefix(&source).unwrap().display().to_string();
        let Some(own) = floor(name.split(['/', '.']).next().unwrap()) else {
            assert!(["lib.rs", "main.rs"].contains(&name.as_str()), "{name}");
            continue;
        };
        for line in fs::read_to_string(&path).unwrap().lines() {
            assert!(!line.contains("super::super"), "{name}: {line}");
            // In a floor's own file, `super` is the root.
            let is_root = line.starts_with("use super::") && !name.contains('/');
            assert!(!is_root, "{name}: {line}");
            for named in named(line) {
                let other = floor(named).unwrap_or_else(|| panic!("{name}: {line}"));
                arrows += usize::from(other != own);
                if other < own {
                    upwards.push(format!("{name}: {line}"));
                }
            }
        }
    }
    assert!(arrows > 100, "{arrows}: are these the sources?");
    assert!(upwards.is_empty(), "{upwards:#?}");
}

#[test]
fn the_head_of_the_library_draws_the_floors_in_their_order() {
    let head = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs"));
    let head = head.unwrap();
    let drawn = head.lines().filter_map(|line| {
        let word = line.strip_prefix("//!     ")?.split_whitespace().next()?;
        floor(word).map(|_| word.to_owned())
    });
    assert_eq!(drawn.collect::<Vec<_>>(), FLOORS);
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|&floor| floor == module)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![path],
        })
        .collect()
}

/// The modules of the crate's root that a line names: an import names one.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(first_word)
}

fn first_word(path: &str) -> &str {
    path.split(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .next()
        .unwrap_or_default()
}
