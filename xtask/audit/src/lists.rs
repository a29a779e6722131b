//! Each list that the audit has of its own, beside the product's.
//!
//! The audit takes none of them from the program that it judges, so that a program that forgets a
//! promise does not bring a list along that has forgotten it too. The price is that the lists can
//! fall behind. An audit takes long and is seldom run: these tests compare the same lists with the
//! product's sources in no time.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use mayfly_host::tree;
use serde_json::Value;

use super::promises;
use super::report::Report;
use super::{dump, rights, store, writes};

const ACCOUNTS: &str = "crates/accounts";
const JUDGES: &str = "tests/boot/tests/audit.rs";

#[test]
fn the_record_is_the_programs_and_the_descriptions() {
    let expected = rights::RECORD.map(str::to_owned);
    let source = read(&source("record.rs"));
    let (_, list) = source.split_once("const FIELDS").unwrap();
    let (_, list) = list.split_once("= [").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    assert_eq!(strings(list), expected, "record.rs");

    let description = read(&tree().join(ACCOUNTS).join("openapi.json"));
    let description: Value = serde_json::from_str(&description).unwrap();
    let record = &description["components"]["schemas"]["Record"];
    let required = record["required"].as_array().unwrap();
    let required: Vec<_> = required
        .iter()
        .map(|field| field.as_str().unwrap())
        .collect();
    assert_eq!(required, expected, "openapi.json, required");
    let properties = record["properties"].as_object().unwrap();
    let properties: BTreeSet<_> = properties.keys().cloned().collect();
    assert_eq!(
        properties,
        BTreeSet::from(expected),
        "openapi.json, properties"
    );
}

#[test]
fn the_stores_have_the_columns_that_the_audit_expects() {
    let expected: BTreeSet<_> = rights::columns().into_iter().collect();
    assert_eq!(columns(&schema("sqlite")), expected, "SQLite");

    // SQLite keeps the schema's version in the file's head.
    let version = "schema.version".to_owned();
    let expected = expected.into_iter().chain([version]).collect();
    assert_eq!(columns(&schema("postgres")), expected, "PostgreSQL");
}

#[test]
fn the_daily_write_sets_the_marks_that_the_audit_expects() {
    let expected = BTreeSet::from(store::MARKS.map(str::to_owned));
    for store in ["sqlite", "postgres"] {
        let text = schema(store);
        let (_, rest) = text.split_once("UPDATE account SET\n    has_").unwrap();
        let rest = format!("has_{rest}");
        let end = ["\nFROM", "\nWHERE"]
            .iter()
            .filter_map(|word| rest.find(word))
            .min();
        let set: BTreeSet<_> = rest[..end.unwrap()]
            .lines()
            .filter_map(|line| line.split_once(" = "))
            .map(|(column, _)| column.trim().to_owned())
            .collect();
        assert_eq!(set, expected, "{store}");
    }
}

#[test]
fn each_promise_that_is_tried_has_an_experiment_and_each_experiment_a_promise() {
    let promises = promises::of(&Report::new().unwrap());
    let all: BTreeSet<_> = promises
        .iter()
        .map(|promise| promise.id.to_owned())
        .collect();
    let text = read(&audit().join("promises.rs"));
    let tried = after(&text, "tried(");
    let claimed: BTreeSet<_> = sources(&audit())
        .iter()
        .filter(|path| !path.ends_with("findings.rs") && !path.ends_with("lists.rs"))
        .flat_map(|path| {
            let text = read(path);
            // A death says which promise it is about.
            let (_, deaths) = text.split_once("fn promise(self)").unwrap_or_default();
            let (deaths, _) = deaths.split_once("\n    }").unwrap_or_default();
            let mut claimed = after(&text, ".claim(");
            claimed.extend(strings(deaths));
            claimed
        })
        .collect();
    assert_eq!(claimed, tried);
    assert!(tried.is_subset(&all), "{tried:?}");
}

#[test]
fn the_tests_judge_promises_that_there_are() {
    let promises = promises::of(&Report::new().unwrap());
    let all: BTreeSet<_> = promises
        .iter()
        .map(|promise| promise.id.to_owned())
        .collect();
    let judged = after(&read(&tree().join(JUDGES)), "holds(");
    assert!(!judged.is_empty() && judged.is_subset(&all), "{judged:?}");
}

#[test]
fn the_mark_that_a_daemon_dies_by_is_the_one_that_its_pid_1_leaves() {
    let text = read(&tree().join("tests/mortal/src/main.rs"));
    let phrase = str::from_utf8(&dump::MORTAL).unwrap();
    assert!(text.contains(&format!("*b\"{phrase}\"")));
}

#[test]
fn what_the_write_matrix_expects_to_come_through_is_tried() {
    let attack: Vec<_> = sources(&tree().join("tests/attack/src"))
        .iter()
        .flat_map(|path| strings(&read(path)))
        .collect();
    for (process, attempt) in writes::NEEDED {
        assert!(attack.iter().any(|word| word == process), "{process}");
        assert!(attack.iter().any(|word| word == attempt), "{attempt}");
    }
}

#[test]
fn columns_are_read_from_statements() {
    let text = "CREATE TABLE one (\n    a BLOB CHECK (length(a) = 16),\n    b TEXT\n) STRICT;\n\
                ALTER TABLE one ADD COLUMN c INTEGER;\n\
                \"CREATE TABLE IF NOT EXISTS two (d BIGINT)\"";
    let found = ["one.a", "one.b", "one.c", "two.d"].map(str::to_owned);
    assert_eq!(columns(text), BTreeSet::from(found));
}

/// `TABLE.COLUMN` of each column that SQL statements in a source make.
fn columns(text: &str) -> BTreeSet<String> {
    let mut columns = BTreeSet::new();
    for statement in text.split("CREATE TABLE ").skip(1) {
        let statement = statement.trim_start_matches("IF NOT EXISTS ");
        let (table, rest) = statement.split_once(" (").unwrap();
        for definition in outer_parts(rest) {
            let column = definition.split_whitespace().next().unwrap();
            columns.insert(format!("{table}.{column}"));
        }
    }
    for statement in text.split("ALTER TABLE ").skip(1) {
        if let Some((table, rest)) = statement.split_once(" ADD COLUMN ")
            && !table.contains(char::is_whitespace)
        {
            let column = rest.split_whitespace().next().unwrap();
            columns.insert(format!("{table}.{column}"));
        }
    }
    columns
}

/// What stands between commas up to the bracket that closes all of it.
fn outer_parts(text: &str) -> Vec<String> {
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => return parts,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    panic!("a statement without an end: {text}");
}

/// The strings that follow a call's bracket.
fn after(text: &str, call: &str) -> BTreeSet<String> {
    let calls = text.split(call).skip(1);
    let first = calls.filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next());
    first.map(str::to_owned).collect()
}

fn strings(text: &str) -> Vec<String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

fn schema(store: &str) -> String {
    read(&source(&format!("{store}/schema.rs")))
}

/// The account service's source whose path ends so, wherever it lies.
fn source(end: &str) -> PathBuf {
    let all = sources(&tree().join(ACCOUNTS).join("src"));
    let mut found = all.into_iter().filter(|path| path.ends_with(end));
    let one = found.next();
    assert!(found.next().is_none(), "several {end}");
    one.unwrap_or_else(|| panic!("no {end}"))
}

/// Where the audit's own sources are: this one is among them.
fn audit() -> PathBuf {
    tree().join(file!()).parent().unwrap().to_owned()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
