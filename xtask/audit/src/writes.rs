//! `cargo xtask writes`: tries from inside the node to leave something behind, in many ways.
//!
//! `tests/attack` makes the attempts, in the confinement of each of the node's processes, complete
//! and with one layer removed: on this machine, and in an attack image, which is the sealed image
//! with that program in the node's place. The findings of both are judged here and written to
//! `target/audit/writes.json`, from which the audit takes them.

pub mod guest;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, step};
use mayfly_host::{cargo, process, prologue, tree};
use serde::{Deserialize, Serialize};

use self::guest::violation::Violation;

/// How long the attempts may take on this machine, which may be busy.
const LIMIT: Duration = Duration::from_secs(300);

/// What a process may do because its work needs it: process, attempt.
pub(super) const NEEDED: [(&str, &str); 2] = [
    ("daemon", "tcp-to-the-account-service"),
    ("pid1", "signal-another"),
];
/// The least number of attempts of a complete matrix.
const LEAST: usize = 70;

/// The findings of `attack` in one place.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// `host` or `image`.
    pub place: String,
    /// The names of all attempts.
    pub attempts: Vec<String>,
    /// What each process could do in its confinement.
    pub jails: BTreeMap<String, InJail>,
}

/// The findings in one confinement.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InJail {
    /// How many system calls the filter lets through.
    pub syscalls_allowed: usize,
    /// Attempts that came through.
    pub allowed: Vec<String>,
    /// Attempts that did not, and what refused them.
    pub refused: BTreeMap<String, String>,
    /// For each layer, what comes through with it removed.
    pub without: BTreeMap<String, Vec<String>>,
    /// What comes through with no layer at all.
    pub unconfined: Vec<String>,
}

/// `target/audit/writes.json`
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    commit: String,
    /// Nothing came through but what the work needs.
    pub ok: bool,
    /// What did not hold.
    pub failures: Vec<String>,
    /// How many attempts there are.
    attempts: usize,
    /// What came through anywhere.
    allowed: BTreeSet<String>,
    /// For each layer, what came through anywhere with it removed.
    without: BTreeMap<String, BTreeSet<String>>,
    /// How many system calls the daemon may make.
    syscalls_allowed: usize,
    /// Words for a log that the shipped programs hold.
    pub log_strings: Vec<&'static str>,
    /// What becomes of a machine whose daemon writes.
    pub violation: Violation,
    /// Each place, with each process.
    pub places: Vec<Findings>,
}

/// What it starts.
pub const NEEDS: &[&[Need]] = &[packages::IMAGE, packages::QEMU];

/// Makes all attempts, and says what came through.
///
/// # Errors
/// The attempts could not be made. What came through is in the report.
pub fn run() -> Result<Report> {
    prologue(NEEDS)?;
    mayfly_image::provide_kernel_source()?;
    cargo::build(
        "build attack and mayfly",
        "3 min on 2 processors",
        "--package mayfly-attack --package mayfly-client",
    )?;
    let host = step("attempts on this machine", on_host)?;
    let (image, violation) = guest::run()?;
    let report = Report::of(
        mayfly_host::commit()?,
        vec![host, image],
        violation,
        words_for_a_log()?,
    );
    let out = tree().join("target/audit");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    fs::write(out.join("writes.json"), serde_json::to_vec_pretty(&report)?)
        .context("cannot write writes.json")?;
    report.show();
    say("report: target/audit/writes.json");
    Ok(report)
}

fn on_host() -> Result<Findings> {
    let mut attack = process::command([]);
    attack.arg(cargo::program("attack")).arg("matrix");
    let found = process::output(&mut attack, "attack", LIMIT)?;
    serde_json::from_str(&found).context("attack did not print its findings")
}

/// Words for a log in the programs of the sealed image. With any, they would not have been packed.
fn words_for_a_log() -> Result<Vec<&'static str>> {
    let programs = mayfly_image::binaries::build(mayfly_image::Profile::Sealed)?;
    Ok([programs.init, programs.node]
        .iter()
        .flat_map(|program| mayfly_image::silence::log_words(program))
        .collect())
}

impl Report {
    /// The result of the command that made this report.
    ///
    /// # Errors
    /// Something came through that is not needed.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.ok, "{}", self.failures.join("; "));
        Ok(())
    }

    fn of(
        commit: String,
        places: Vec<Findings>,
        violation: Violation,
        log_strings: Vec<&'static str>,
    ) -> Self {
        let jails = || places.iter().flat_map(|place| &place.jails);
        let mut without: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (layer, back) in jails().flat_map(|(_, jail)| &jail.without) {
            without
                .entry(layer.clone())
                .or_default()
                .extend(back.iter().cloned());
        }
        let daemon = jails().find(|(name, _)| *name == "daemon");
        let mut failures = failures(&places);
        failures.extend(log_strings.iter().map(|word| format!("shipped: {word}")));
        failures.extend(violation.failure());
        Self {
            schema: 1,
            commit,
            ok: failures.is_empty(),
            failures,
            attempts: places
                .iter()
                .map(|place| place.attempts.len())
                .min()
                .unwrap_or(0),
            allowed: jails().flat_map(|(_, jail)| jail.allowed.clone()).collect(),
            without,
            syscalls_allowed: daemon.map_or(0, |(_, jail)| jail.syscalls_allowed),
            log_strings,
            violation,
            places,
        }
    }

    fn show(&self) {
        let calls = self.syscalls_allowed;
        say(&format!("the daemon may make {calls} system calls"));
        let Violation { restarted, marks } = &self.violation;
        say(&format!(
            "a write under the shipped filter: the machine {}; a mark in RAM {} times before, \
             {} times after",
            if *restarted {
                "restarted"
            } else {
                "DID NOT RESTART"
            },
            marks[0],
            marks[1]
        ));
        for place in &self.places {
            let total = place.attempts.len();
            for (name, jail) in &place.jails {
                let place = &place.place;
                let came = &jail.allowed;
                say(&format!(
                    "\n{name}, {place}: {} of {total} came through {came:?}",
                    came.len()
                ));
                for (layer, back) in &jail.without {
                    say(&format!("  without {layer:<13}{:>4} come back", back.len()));
                }
                if jail.without.is_empty() {
                    continue;
                }
                say(&format!(
                    "  without anything    {:>4} come back",
                    jail.unconfined.len()
                ));
            }
        }
    }
}

/// What is not as it should be.
fn failures(places: &[Findings]) -> Vec<String> {
    let mut failures = Vec::new();
    for place in places {
        let at = &place.place;
        if place.attempts.len() < LEAST {
            failures.push(format!("{at}: only {} attempts", place.attempts.len()));
        }
        for (name, jail) in &place.jails {
            for attempt in &jail.allowed {
                if !NEEDED.contains(&(name, attempt)) {
                    failures.push(format!("{at}, {name}: {attempt} came through"));
                }
            }
            // Otherwise the attempts are no good, or it is not the layers that stop them. In the
            // image, layers are removed for the daemon only.
            let back = jail.without.get("seccomp");
            if back.is_some_and(Vec::is_empty) || (back.is_none() && name == "daemon") {
                failures.push(format!("{at}, {name}: nothing comes back without seccomp"));
            }
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(allowed: &str, back: &[&str]) -> Findings {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        let jail = InJail {
            syscalls_allowed: 1,
            allowed: names(&[allowed]),
            refused: BTreeMap::new(),
            without: [("seccomp".to_owned(), names(back))].into(),
            unconfined: Vec::new(),
        };
        Findings {
            place: "host".to_owned(),
            attempts: vec![String::new(); LEAST],
            jails: [("daemon".to_owned(), jail)].into(),
        }
    }

    #[test]
    fn only_what_is_needed_may_come_through() {
        let needed = findings(NEEDED[0].1, &["chmod"]);
        assert!(failures(&[needed]).is_empty());
        // PID 1 needs it, the daemon does not.
        let other = findings(NEEDED[1].1, &["chmod"]);
        assert_eq!(failures(&[other]).len(), 1);
    }

    #[test]
    fn a_matrix_that_cannot_fail_fails() {
        assert_eq!(failures(&[findings(NEEDED[0].1, &[])]).len(), 1);
        let mut few = findings(NEEDED[0].1, &["chmod"]);
        few.attempts.pop();
        assert_eq!(failures(&[few]).len(), 1);
    }
}
