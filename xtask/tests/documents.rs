//! What the documents name exists: files, rules and constants.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PROTOCOL: &str = "crates/counter/PROTOCOL.md";

/// Folders whose files documents name by their path from the top of the repository.
const TOP: [&str; 8] = [
    ".cargo",
    ".ci",
    ".github",
    "crates",
    "image",
    "initramfs",
    "tests",
    "xtask",
];

#[test]
fn every_file_that_a_document_names_exists() {
    let mut missing = Vec::new();
    for document in files(&top(), "md") {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        let links = links(&text).map(|link| (link, folder.join(link)));
        let paths = code_spans(&text).filter(|span| is_path(span));
        let paths = paths.map(|path| (path, top().join(path)));
        for (name, path) in links.chain(paths) {
            if !path.exists() {
                missing.push(format!("{}: {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_rule_that_a_source_cites_stands_in_the_protocol() {
    let protocol = read(PROTOCOL);
    let headings = protocol.lines().filter_map(|line| {
        let (number, _) = line.strip_prefix("### Rule ")?.split_once(':')?;
        number.parse().ok()
    });
    let rules: BTreeSet<u32> = headings.collect();
    assert_eq!(rules, (1..=9).collect());
    let mut unknown = Vec::new();
    let sources = files(&top(), "rs").into_iter().chain(files(&top(), "md"));
    for source in sources {
        let text = fs::read_to_string(&source).unwrap();
        let cited = cited_rules(&text);
        let wrong = cited.difference(&rules);
        unknown.extend(wrong.map(|rule| format!("{}: rule {rule}", source.display())));
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn the_protocols_table_of_numbers_has_each_constant() {
    let constants = read("crates/counter/src/constants.rs");
    let constants = constants.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("pub const ")?.split_once(':')?;
        Some(name)
    });
    let protocol = read(PROTOCOL);
    let (_, numbers) = protocol.split_once("\n## Numbers\n").unwrap();
    let rows = numbers.lines().filter_map(|line| {
        let (name, _) = line.strip_prefix("| `")?.split_once('`')?;
        Some(name)
    });
    assert_eq!(
        rows.collect::<BTreeSet<_>>(),
        constants.collect::<BTreeSet<_>>()
    );
}

#[test]
fn a_citation_of_several_rules_cites_each() {
    let cited = cited_rules("By rule 4. Rules 3, 4 and 5; see\n    /// (rule\n    /// 6), 7 times");
    assert_eq!(cited, BTreeSet::from([3, 4, 5, 6]));
}

/// Targets of links into the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    let targets = targets.filter_map(|target| target.split('#').next());
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// What stands in backticks; blocks of code are left out.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.lines().filter(|line| !line.starts_with("    "));
    prose.flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn is_path(span: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let (first, _) = span.split_once('/').unwrap_or_default();
    TOP.contains(&first) && span.chars().all(is_plain)
}

/// The numbers after "rule" or "rules", which may stand on the next line of a comment.
fn cited_rules(text: &str) -> BTreeSet<u32> {
    let text = text.replace("///", " ").replace("//!", " ");
    let text = text.replace("//", " ").replace(',', " ").to_lowercase();
    let mut cited = BTreeSet::new();
    let mut is_list = false;
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        match bare.parse() {
            Ok(number) if is_list => {
                cited.insert(number);
                // The sentence, or the bracket, ends here.
                is_list = bare.len() == word.len();
            }
            _ => is_list = bare == "rule" || bare == "rules" || (is_list && bare == "and"),
        }
    }
    cited
}

/// Every file of a kind, but for what is built.
fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".git" {
            found.extend(files(&path, kind));
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
