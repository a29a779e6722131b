//! Whether each step and verb provides the programs that it starts.
//!
//! What is started is read from the sources, in two ways. The first word of each call that starts
//! something has to be provided, or to be Debian's or Rust's. And wherever the sources have a
//! string that begins with the name of a program that some step provides, this step has to
//! provide it too: that finds words that are put together in one place and started in another.

use std::fs;
use std::path::{Path, PathBuf};

use mayfly_host::packages::{self, Need};
use mayfly_host::tree;

use super::step;
use crate::{api, deny, fresh, fuzz};

/// What Debian has when nothing was installed (its essential packages and apt), and what comes
/// with Rust.
const BASE: [(&str, &str); 18] = [
    ("apt-get", "apt"),
    ("cargo", "Rust"),
    ("cat", "coreutils"),
    ("chmod", "coreutils"),
    ("cp", "coreutils"),
    ("date", "coreutils"),
    ("dpkg-deb", "dpkg"),
    ("dpkg-query", "dpkg"),
    ("flock", "util-linux"),
    ("nice", "coreutils"),
    ("rustc", "Rust"),
    ("setpriv", "util-linux"),
    ("sh", "dash"),
    ("sleep", "coreutils"),
    ("tar", "tar"),
    ("timeout", "coreutils"),
    ("true", "coreutils"),
    ("unshare", "util-linux"),
];

/// What a script can start, but is not asked to: step, program.
const NOT_ASKED_FOR: [(&str, &str); 2] = [
    // `life.sh` only if NODE or CONNECT is set.
    ("test api", "wg"),
    ("test api", "wg-quick"),
];

/// What begins a call that starts a program, up to the first of its words.
const STARTS: [&str; 6] = [
    "Command::new(",
    "command(",
    ".run(",
    ".attempt(",
    "pipe(",
    "keys.run(",
];

/// A step or a verb: the files and directories that say what it starts, and what it provides. One
/// word is a verb's own sources or a library's under `xtask`.
struct Work {
    name: &'static str,
    sources: Vec<&'static str>,
    needs: Vec<Need>,
}

/// How a process is started, and cargo: of every verb.
const HOST: &[&str] = &["xtask/host/src/process.rs", "xtask/host/src/cargo.rs"];
/// The name of the commit.
const COMMIT: &str = "xtask/host/src/tree.rs";
/// What makes a network namespace.
const NAMESPACE: &str = "xtask/host/src/namespace.rs";
/// What builds a kernel and packs an image, and no more.
const IMAGE: &[&str] = &[
    "xtask/image/src/binaries.rs",
    "xtask/image/src/initramfs.rs",
    "xtask/image/src/inputs.rs",
    "xtask/image/src/kernel.rs",
    "xtask/image/src/kernel",
    "xtask/image/src/lock.rs",
];
const RUN: &[&str] = &["run", "lab", NAMESPACE, COMMIT];

fn works() -> Vec<Work> {
    let work = |name, sources: &[&[&'static str]], needs: &[&[Need]]| Work {
        name,
        sources: sources.concat(),
        needs: needs.concat(),
    };
    vec![
        work(
            "test unit",
            &[
                HOST,
                &[
                    "crates/accounts/src",
                    "crates/accounts/tests",
                    "crates/client/src",
                    "crates/client/tests",
                    "crates/counter",
                    "crates/node/src",
                    "crates/node/tests",
                    "crates/sys/src",
                    "crates/tunnel",
                    "crates/wire",
                    "initramfs/init",
                    "tests/attack",
                    "tests/kit/src",
                ],
            ],
            step::UNIT,
        ),
        work("test sim", &[&["tests/sim/src", "tests/sim/tests"]], &[]),
        work("test fuzz", &[&["fuzz", "tests/fuzz/src"]], fuzz::NEEDS),
        work(
            "test api",
            &[HOST, &["api", "pypi", "crates/accounts/life.sh"]],
            api::NEEDS,
        ),
        work("test deny", &[HOST, &["deny", "pypi"]], deny::NEEDS),
        work(
            "test netns",
            &[&["tests/netns", "tests/attack/src"]],
            step::NETNS,
        ),
        work("fresh", &[HOST, &["fresh"]], fresh::NEEDS),
        work("run", &[HOST, IMAGE, RUN], mayfly_run::NEEDS),
        work(
            "audit",
            &[HOST, IMAGE, RUN, &["audit"]],
            mayfly_audit::NEEDS,
        ),
        work(
            "writes",
            &[
                HOST,
                IMAGE,
                &[
                    COMMIT,
                    "xtask/audit/src/writes.rs",
                    "xtask/audit/src/writes",
                    "xtask/lab/src/web.rs",
                    "tests/attack/src",
                ],
            ],
            mayfly_audit::writes::NEEDS,
        ),
        work(
            "bench",
            &[
                HOST,
                &[NAMESPACE, COMMIT, "bench", "xtask/lab/src/operator.rs"],
                &["xtask/image/src/binaries.rs", "tests/floor/src"],
            ],
            mayfly_bench::NEEDS,
        ),
        work(
            "bench accounts",
            &[
                HOST,
                &[COMMIT, "xtask/bench/src/accounts.rs", "tests/load/src"],
            ],
            mayfly_bench::accounts::NEEDS,
        ),
        work(
            "boots",
            &[HOST, RUN, &["image", "boots"]],
            &[
                &mayfly_boots::NEEDS.concat(),
                packages::VERIFY,
                packages::DIFFERENCE,
            ],
        ),
        work(
            "image",
            &[HOST, &[COMMIT, "image"]],
            &[
                packages::IMAGE,
                packages::RELEASE,
                packages::SIGN,
                packages::VERIFY,
                packages::DIFFERENCE,
            ],
        ),
        work(
            "keys",
            &[HOST, &["xtask/image/src/keys.rs"]],
            &[packages::SIGN],
        ),
    ]
}

#[test]
fn a_step_provides_what_it_starts() {
    let mut missing = Vec::new();
    for work in works() {
        for file in work.files() {
            let text = fs::read_to_string(&file).unwrap();
            let is_rust = file.extension().is_some_and(|extension| extension == "rs");
            let words = if is_rust {
                started(&text)
            } else {
                in_script(&text)
            };
            let lacking = words.into_iter().filter(|word| !work.has(word));
            missing.extend(lacking.map(|word| {
                format!(
                    "{} starts {word}, which it does not provide: {}",
                    work.name,
                    file.display()
                )
            }));
        }
    }
    missing.sort();
    missing.dedup();
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn every_test_runs_to_its_end_whatever_fails() {
    let mut files = Vec::new();
    collect(&tree().join("xtask"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let tests = text.match_indices("\"test --").map(|(at, _)| &text[at..]);
        for words in tests {
            let (words, _) = words[1..].split_once('"').unwrap();
            let begins = file.ends_with("provided.rs");
            assert!(
                begins || words.contains("--no-fail-fast"),
                "{}: {words}",
                file.display()
            );
        }
    }
}

#[test]
fn what_is_started_is_found_in_the_sources() {
    let text = r#"
        //! command("comment")
        let words = ["strace", "-f"];
        let mut one = Command::new("ip").args(["netns"]);
        let two = namespace.command([
            "dnsmasq", "--help"]);
        namespace.run("sysctl -w x=1"); self.qmp.command("stop"); command("target/debug/mayfly");
        // "tcpdump"
        say("wg is a word");
    "#;
    assert_eq!(started(text), ["dnsmasq", "ip", "strace", "sysctl", "wg"]);
    assert_eq!(in_script("# wg\necho x | jq .a # curl\n"), ["jq"]);
}

impl Work {
    fn has(&self, program: &str) -> bool {
        let mut provided = self.needs.iter().map(|(what, _)| *what);
        provided.any(|what| what == program)
            || BASE.iter().any(|(base, _)| *base == program)
            || NOT_ASKED_FOR.contains(&(self.name, program))
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for source in &self.sources {
            let before = files.len();
            for path in places(source) {
                collect(&tree().join(path), &mut files);
            }
            assert!(
                files.len() > before,
                "{}: no sources in {source}",
                self.name
            );
        }
        files
    }
}

/// Where a source may be.
fn places(source: &str) -> Vec<String> {
    if source.contains('/') {
        return vec![source.to_owned()];
    }
    let (file, directory) = (
        format!("xtask/src/{source}.rs"),
        format!("xtask/src/{source}"),
    );
    let places = [file, directory, format!("xtask/{source}/src")];
    places
        .into_iter()
        .filter(|path| tree().join(path).exists())
        .collect()
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else if path
        .extension()
        .is_some_and(|extension| extension == "rs" || extension == "sh")
    {
        files.push(path.to_owned());
    }
}

/// Programs that Rust sources start, each once.
fn started(text: &str) -> Vec<String> {
    let code: Vec<_> = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    // A quotation mark that neither begins nor ends a string.
    let code = code.join("\n").replace("\\\"", "").replace("'\"'", "");
    let known = installed();
    let mut found: Vec<_> = STARTS
        .iter()
        .flat_map(|start| code.match_indices(start))
        // QEMU's monitor takes commands too.
        .filter(|(at, _)| !code[..*at].ends_with("qmp."))
        .filter_map(|(at, start)| first_string(&code[at + start.len()..]))
        .chain(strings(&code).filter(|word| known.contains(word)))
        // Programs of the tree are named by their paths, and those of a variable have none here.
        .filter(|word| !word.contains(['/', '{', '$']) && !word.is_empty())
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Programs that some step provides and that a script has among its words.
fn in_script(text: &str) -> Vec<String> {
    let known = installed();
    let code = text
        .lines()
        .map(|line| line.split("# ").next().unwrap_or_default());
    let words = code.flat_map(str::split_whitespace);
    let mut found: Vec<_> = words
        .filter(|word| known.contains(word))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Every program that some step has to provide.
fn installed() -> Vec<&'static str> {
    let tables = [
        packages::IMAGE,
        packages::RELEASE,
        packages::VERIFY,
        packages::DIFFERENCE,
        packages::SIGN,
        packages::NETWORK,
        packages::NETNS,
        packages::UNIT,
        packages::BENCH,
        packages::PYTHON,
        packages::API,
        packages::FUZZ,
        packages::FRESH,
        packages::AUDIT,
        packages::BOOTS,
        packages::QEMU,
    ];
    let all = tables.concat().into_iter().map(|(what, _)| what);
    all.filter(|what| !what.starts_with('/') && BASE.iter().all(|(base, _)| base != what))
        .collect()
}

/// The first word of the string that is the next thing after a bracket.
fn first_string(rest: &str) -> Option<&str> {
    let rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '&' || c == '[');
    let (string, _) = rest.strip_prefix('"')?.split_once('"')?;
    string.split_whitespace().next()
}

/// The first word of each string.
fn strings(code: &str) -> impl Iterator<Item = &str> {
    let between = code.split('"').skip(1).step_by(2);
    between.filter_map(|string| string.split_whitespace().next())
}
