//! `target/audit.json`, and the table.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context as _, Error, Result, ensure};
use mayfly_host::progress::say;
use mayfly_host::tree;
use serde::Serialize;

use super::findings::{Findings, Load, Moment, NotMade, Picture, Seen};
use super::needle::Kind;
use super::promises::{self, Promise};
use super::writes_report::Writes;

/// The whole file.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    /// The commit that was tried.
    pub commit: String,
    /// Nothing was remembered, and the search could have found it.
    pub ok: bool,
    /// What was.
    pub failures: Vec<String>,
    /// The experiments that could not be made, and why.
    pub not_made: Vec<NotMade>,
    /// The policy, line by line.
    pub promises: Vec<Promise>,
    /// What was found in each reading of RAM.
    pub ram: Vec<Seen>,
    /// Null: `cargo xtask writes` has not been run on this commit.
    pub writes: Option<Writes>,
    syscalls_allowed: Option<usize>,
    log_strings: Option<Vec<String>>,
    /// What it costs to overwrite a GiB of free RAM at boot: seconds of a core.
    memtest_seconds_per_gib: Option<f64>,
    /// The places of what was remembered.
    #[serde(skip)]
    places: Vec<String>,
    /// Other things that were tried, by the name of the promise.
    #[serde(skip)]
    claims: BTreeMap<&'static str, bool>,
    /// Each reading of RAM as a picture, for each guest in order.
    #[serde(skip)]
    pub pictures: Vec<(Load, Vec<Picture>)>,
}

impl Report {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// git does not say which commit this is.
    pub fn new() -> Result<Self> {
        Ok(Self {
            schema: 1,
            commit: mayfly_host::commit()?,
            ok: false,
            failures: Vec::new(),
            not_made: Vec::new(),
            promises: Vec::new(),
            ram: Vec::new(),
            writes: None,
            syscalls_allowed: None,
            log_strings: None,
            memtest_seconds_per_gib: None,
            places: Vec::new(),
            claims: BTreeMap::new(),
            pictures: Vec::new(),
        })
    }

    /// Takes over the report of `cargo xtask writes`, if it was run on the same commit.
    ///
    /// # Errors
    /// Its report cannot be read.
    pub fn take_writes(&mut self) -> Result<()> {
        if let Some(found) = super::writes_report::of(&self.commit)? {
            self.syscalls_allowed = Some(found.syscalls_allowed);
            self.log_strings = Some(found.log_strings);
            self.writes = Some(found.writes);
        }
        Ok(())
    }

    /// Adds the findings of one guest.
    pub fn add(&mut self, findings: Findings) {
        self.ram.extend(findings.seen);
        self.places.extend(findings.places);
        for (promise, held) in findings.claims {
            *self.claims.entry(promise).or_insert(true) &= held;
        }
        self.not_made.extend(findings.not_made);
        self.pictures.push((findings.load, findings.pictures));
    }

    /// Adds the cost of overwriting RAM at boot.
    pub fn memtest(&mut self, seconds_per_gib: f64) {
        self.memtest_seconds_per_gib = Some(seconds_per_gib);
    }

    /// Something could not be tried at all.
    pub fn not_made(&mut self, guest: &'static str, experiment: &'static str, why: &Error) {
        let why = format!("{why:#}");
        self.not_made.push(NotMade {
            guest,
            experiment,
            why,
        });
    }

    /// Judges what was seen.
    pub fn judge(&mut self) {
        self.failures
            .extend(self.not_made.iter().map(NotMade::describe));
        let remembered = self.ram.iter().filter(|seen| seen.is_remembered());
        self.failures
            .extend(remembered.map(|seen| format!("remembered: {}", seen.describe())));
        self.failures.extend(self.never_found());
        self.promises = promises::of(self);
        let broken = self.promises.iter();
        let broken = broken.filter(|line| self.claims.get(line.id) == Some(&false));
        self.failures
            .extend(broken.map(|line| format!("does not hold: {}", line.promise)));
        if self.writes.as_ref().is_some_and(|writes| !writes.ok) {
            self.failures
                .push("the write matrix did not hold: see target/audit/writes.json".to_owned());
        }
        self.ok = self.failures.is_empty();
    }

    /// What the search should have found while the customer was connected, but did not.
    fn never_found(&self) -> Vec<String> {
        let connected =
            |seen: &&Seen| seen.moment == Moment::Connected && seen.needle.can_be_found();
        let mut best: BTreeMap<_, (bool, &Seen)> = BTreeMap::new();
        for seen in self.ram.iter().filter(connected) {
            let key = (seen.traffic, seen.ip, seen.needle);
            best.entry(key).or_insert((false, seen)).0 |= seen.is_found();
        }
        let missed = best.into_values().filter(|(found, _)| !found);
        missed
            .map(|(_, seen)| format!("the search finds nothing: {}", seen.describe()))
            .collect()
    }

    /// Whether all of these were forgotten in time, in every case that `of` selects. None if one was
    /// never found while it could be there: then its later absence shows nothing.
    pub fn forgot(&self, kinds: &[Kind], of: impl Fn(&Seen) -> bool) -> Option<bool> {
        let of_these = |seen: &&Seen| kinds.contains(&seen.needle) && of(seen);
        if self.ram.iter().filter(of_these).any(Seen::is_remembered) {
            return Some(false);
        }
        let seen = || self.ram.iter().filter(of_these);
        let was_there = |late: &Seen| {
            let like = |seen: &&Seen| {
                (seen.traffic, seen.ip, seen.needle) == (late.traffic, late.ip, late.needle)
            };
            seen()
                .filter(like)
                .any(|seen| seen.is_found() && seen.moment.allows(seen.needle))
        };
        let late = |kind: &Kind| {
            let kind = *kind;
            seen().filter(move |seen| seen.needle == kind && seen.moment.is_late())
        };
        let is_shown = |kind: &Kind| late(kind).next().is_some() && late(kind).all(was_there);
        kinds.iter().all(is_shown).then_some(true)
    }

    /// Whether something else held; none if it was not tried.
    pub fn held(&self, promise: &str) -> Option<bool> {
        self.claims.get(promise).copied()
    }

    /// Whether the shipped programs contain no words for a log; none if that was not checked.
    pub fn is_silent(&self) -> Option<bool> {
        self.log_strings.as_ref().map(Vec::is_empty)
    }

    /// Writes the file, and beside it where what was remembered lies.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        let places = self.places.join("\n");
        fs::create_dir_all(tree().join("target/audit"))?;
        fs::write(tree().join("target/audit/remembered.txt"), places)?;
        fs::write(tree().join("target/audit.json"), text + "\n").context("cannot write audit.json")
    }

    /// The result of the command that made this report.
    ///
    /// # Errors
    /// Something was remembered.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.ok, "{}", self.failures.join("; "));
        Ok(())
    }

    /// Prints what was seen, and the promises.
    pub fn print(&self) {
        for (load, ip) in self.cases() {
            say(&format!(
                "\n{} node, IPv{ip}: hits in RAM (bare addresses / those expected by chance)",
                load.name()
            ));
            let moments = self.moments(load);
            let head = moments.iter().map(|moment| moment.column());
            say(&row("", head.map(str::to_owned)));
            for kind in self.kinds(load, ip) {
                let cells = moments.iter().map(|at| self.cell(load, ip, *at, kind));
                say(&row(kind.name(), cells));
            }
        }
        say("");
        for not_made in &self.not_made {
            say(&not_made.describe());
        }
        for promise in &self.promises {
            let verdict = promise.verdict();
            say(&format!("{:<58} {verdict}", promise.promise));
        }
    }

    /// Guests, each with the kinds of customer that it had.
    pub fn cases(&self) -> Vec<(Load, u8)> {
        let mut cases: Vec<_> = self
            .ram
            .iter()
            .map(|seen| (seen.traffic, seen.ip))
            .collect();
        cases.sort_unstable();
        cases.dedup();
        cases
    }

    /// When a guest's RAM was read, in order.
    pub fn moments(&self, load: Load) -> Vec<Moment> {
        let of_it = self.ram.iter().filter(|seen| seen.traffic == load);
        let mut moments: Vec<_> = of_it.map(|seen| seen.moment).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// What was searched for.
    pub fn kinds(&self, load: Load, ip: u8) -> Vec<Kind> {
        let of_it = self.ram.iter();
        let of_it = of_it.filter(|seen| (seen.traffic, seen.ip) == (load, ip));
        let mut kinds: Vec<_> = of_it.map(|seen| seen.needle).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The worst reading of a moment.
    pub fn worst(&self, load: Load, ip: u8, moment: Moment, kind: Kind) -> Option<&Seen> {
        let of_it = self.ram.iter().filter(|seen| {
            (seen.traffic, seen.ip, seen.moment, seen.needle) == (load, ip, moment, kind)
        });
        of_it.max_by_key(|seen| (seen.is_remembered(), seen.full_hits, seen.bare_hits))
    }

    /// The worst reading as text.
    pub fn cell(&self, load: Load, ip: u8, moment: Moment, kind: Kind) -> String {
        self.worst(load, ip, moment, kind).map_or_else(
            || "-".to_owned(),
            |seen| match (seen.bare_hits, seen.expected_by_chance) {
                (Some(bare), Some(chance)) => format!("{} {bare}/{chance}", seen.full_hits),
                _ => seen.full_hits.to_string(),
            },
        )
    }
}

fn row(head: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: String = cells.map(|cell| format!("{cell:>13}")).collect();
    format!("{head:<31}{cells}")
}

#[cfg(test)]
mod tests {
    use super::super::dump::{Hits, Reading};
    use super::super::enrolment::Ip;
    use super::super::needle::Needle;
    use super::*;

    fn report(moments: &[(Moment, Kind, usize)]) -> Report {
        let mut findings = Findings::new(Load::Quiet);
        for (moment, kind, full) in moments {
            let needle = Needle {
                kind: *kind,
                ip: Ip::V4,
                forms: Vec::new(),
                bare: None,
            };
            let hits = Hits {
                full: *full,
                ..Hits::default()
            };
            findings.count(*moment, &[needle], &Reading::of(hits));
        }
        let mut report = Report::new().unwrap();
        report.add(findings);
        report.judge();
        report
    }

    #[test]
    fn what_is_found_a_minute_after_the_release_was_remembered() {
        let late = |full| report(&[(Moment::ReleasedAndAMinute, Kind::PublicKey, full)]);
        assert!(!late(1).ok);
        assert!(late(0).ok);
    }

    #[test]
    fn what_was_never_found_cannot_be_shown_to_be_forgotten() {
        let late = (Moment::ReleasedAndAMinute, Kind::Name, 0);
        let forgot = |moments: &[_], kinds: &[Kind]| report(moments).forgot(kinds, |_| true);
        assert_eq!(forgot(&[late], &[Kind::Name]), None);
        let both = [(Moment::Connected, Kind::Name, 1), late];
        assert_eq!(forgot(&both, &[Kind::Name]), Some(true));
        assert_eq!(forgot(&both, &[Kind::Name, Kind::Page]), None);
        assert_eq!(
            report(&both).forgot(&[Kind::Name], |seen| seen.ip == 6),
            None
        );
    }

    #[test]
    fn silence_ends_the_session_and_not_the_enrolment() {
        let silent = |kind| report(&[(Moment::SilenceAndAMinute, kind, 1)]);
        assert!(silent(Kind::PublicKey).ok);
        assert!(!silent(Kind::Endpoint).ok);
    }

    #[test]
    fn a_search_that_finds_nothing_while_connected_is_no_proof() {
        assert!(!report(&[(Moment::Connected, Kind::Page, 0)]).ok);
        let twice = [
            (Moment::Connected, Kind::Page, 0),
            (Moment::Connected, Kind::Page, 3),
        ];
        assert!(report(&twice).ok);
    }

    #[test]
    fn an_experiment_that_could_not_be_made_leaves_what_others_showed() {
        let found = [
            (Moment::Connected, Kind::Name, 1),
            (Moment::ReleasedAndAMinute, Kind::Name, 0),
        ];
        let mut report = report(&found);
        report.not_made("quiet", "die", &anyhow::anyhow!("the node stays down"));
        report.judge();
        assert!(!report.ok);
        let why = "could not be made: quiet, die: the node stays down";
        assert_eq!(report.failures, [why]);
        assert_eq!(report.forgot(&[Kind::Name], |_| true), Some(true));
    }

    #[test]
    fn what_is_typed_is_nowhere_at_any_time() {
        assert!(!report(&[(Moment::Connected, Kind::Typed, 1)]).ok);
        assert!(report(&[(Moment::Connected, Kind::Typed, 0)]).ok);
    }
}
