//! `target/audit.json`, and the table.

use std::fs;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::dump::Hits;
use super::map::Map;
use super::needle::{Kind, Needle};
use super::promises::{self, Promise};
use super::writes::Writes;
use crate::progress::say;
use crate::tree;

/// When RAM was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Moment {
    /// Before the customer sent or fetched anything.
    #[serde(rename = "before")]
    Before,
    /// While it is connected.
    #[serde(rename = "connected")]
    Connected,
    /// Just after it released its enrolment.
    #[serde(rename = "released")]
    Released,
    /// 60 s after that.
    #[serde(rename = "released+60")]
    ReleasedAndAMinute,
    /// Just after silence ended its session.
    #[serde(rename = "silence")]
    Silence,
    /// 60 s after that.
    #[serde(rename = "silence+60")]
    SilenceAndAMinute,
}

impl Moment {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Connected => "connected",
            Self::Released => "released",
            Self::ReleasedAndAMinute => "released, and a minute",
            Self::Silence => "silent for 180 s",
            Self::SilenceAndAMinute => "silent for 180 s, and a minute",
        }
    }

    /// Whether what has to be forgotten has to be by then.
    fn is_late(self) -> bool {
        matches!(self, Self::ReleasedAndAMinute | Self::SilenceAndAMinute)
    }

    /// Whether a needle may be there.
    fn allows(self, kind: Kind) -> bool {
        match self {
            Self::Before | Self::ReleasedAndAMinute => false,
            Self::Connected | Self::Released | Self::Silence => true,
            Self::SilenceAndAMinute => kind.stays_with_the_enrolment(),
        }
    }
}

/// The whole file.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    /// What was tried.
    pub commit: String,
    /// Nothing was remembered, and the search could have found it.
    pub ok: bool,
    /// What was.
    pub failures: Vec<String>,
    /// The policy, line by line.
    pub promises: Vec<Promise>,
    ram: Vec<Seen>,
    /// Null: `cargo xtask writes` has not been run on this commit.
    pub writes: Option<Writes>,
    syscalls_allowed: Option<usize>,
    log_strings: Option<Vec<String>>,
    /// `devices` went 1, 2, 0 with the devices that came and went.
    #[serde(skip)]
    pub counted: Option<bool>,
    /// Each reading of RAM as a picture, in order.
    #[serde(skip)]
    pub maps: Vec<(Moment, Map)>,
}

#[derive(Debug, Serialize)]
struct Seen {
    moment: Moment,
    traffic: &'static str,
    ip: u8,
    needle: Kind,
    full_hits: usize,
    bare_hits: Option<usize>,
    expected_by_chance: Option<usize>,
}

impl Seen {
    fn is_found(&self) -> bool {
        let by_chance = self.expected_by_chance.unwrap_or(0);
        self.full_hits > 0 || self.bare_hits.is_some_and(|bare| bare > by_chance)
    }
}

impl Report {
    /// Nothing seen yet.
    ///
    /// # Errors
    /// git does not say which commit this is.
    pub fn new() -> Result<Self> {
        Ok(Self {
            schema: 1,
            commit: crate::commit()?,
            ok: false,
            failures: Vec::new(),
            promises: Vec::new(),
            ram: Vec::new(),
            writes: None,
            syscalls_allowed: None,
            log_strings: None,
            counted: None,
            maps: Vec::new(),
        })
    }

    /// Takes over what `cargo xtask writes` found, if it was run on the same commit.
    ///
    /// # Errors
    /// Its report cannot be read.
    pub fn take_writes(&mut self) -> Result<()> {
        if let Some(found) = super::writes::of(&self.commit)? {
            self.syscalls_allowed = Some(found.syscalls_allowed);
            self.log_strings = Some(found.log_strings);
            self.writes = Some(found.writes);
        }
        Ok(())
    }

    /// Keeps the picture of one reading.
    pub fn map(&mut self, moment: Moment, map: Map) {
        self.maps.push((moment, map));
    }

    /// What one reading of RAM showed.
    pub fn add(&mut self, moment: Moment, needles: &[Needle], hits: &[Hits]) {
        for (needle, hits) in needles.iter().zip(hits) {
            self.ram.push(Seen {
                moment,
                traffic: "quiet",
                ip: 4,
                needle: needle.kind,
                full_hits: hits.full,
                bare_hits: needle.bare.map(|_| hits.bare),
                expected_by_chance: needle.bare.map(|_| hits.by_chance),
            });
        }
    }

    /// Comes to a verdict on what was seen.
    pub fn judge(&mut self) {
        for seen in &self.ram {
            let what = format!("{:?}, {}", seen.needle, seen.moment.name());
            if seen.is_found() && !seen.moment.allows(seen.needle) {
                self.failures.push(format!("remembered: {what}"));
            }
            let has_to_be = seen.moment == Moment::Connected && seen.needle.has_to_be_found();
            if has_to_be && !seen.is_found() {
                self.failures
                    .push(format!("the search finds nothing: {what}"));
            }
        }
        if self.writes.as_ref().is_some_and(|writes| !writes.ok) {
            self.failures
                .push("the write matrix did not hold: see target/audit/writes.json".to_owned());
        }
        self.ok = self.failures.is_empty();
        self.promises = promises::of(self);
    }

    /// Whether all of these were forgotten when they had to be. Nothing if one was never found
    /// while it could be there: its absence later shows nothing.
    pub fn forgot(&self, kinds: &[Kind]) -> Option<bool> {
        let of_these = self.ram.iter().filter(|seen| kinds.contains(&seen.needle));
        let mut found = of_these.filter(|seen| seen.is_found());
        if found.any(|seen| !seen.moment.allows(seen.needle)) {
            return Some(false);
        }
        let was_there = |kind: &Kind| {
            let mut seen = self.ram.iter().filter(|seen| seen.needle == *kind);
            seen.any(|seen| seen.is_found() && seen.moment.allows(*kind))
        };
        let was_looked_for = self.ram.iter().any(|seen| seen.moment.is_late());
        (was_looked_for && kinds.iter().all(was_there)).then_some(true)
    }

    /// Whether the shipped programs hold no words for a log; nothing if nobody looked.
    pub fn is_silent(&self) -> Option<bool> {
        self.log_strings.as_ref().map(Vec::is_empty)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(tree().join("target/audit.json"), text + "\n").context("cannot write audit.json")
    }

    /// Prints what was seen, and the promises.
    pub fn print(&self) {
        let (moments, kinds) = (self.moments(), self.kinds());
        say("\nhits in RAM (bare addresses, and what chance gives, behind a slash)");
        let head: String = moments
            .iter()
            .map(|moment| format!("{:>16}", column(*moment)))
            .collect();
        say(&format!("{:<15}{head}", ""));
        for kind in kinds {
            let cells: String = moments
                .iter()
                .map(|moment| format!("{:>16}", self.cell(*moment, kind)))
                .collect();
            say(&format!("{:<15}{cells}", format!("{kind:?}")));
        }
        say("");
        for promise in &self.promises {
            let verdict = promise.verdict();
            say(&format!("{:<50} {verdict}", promise.promise));
        }
    }

    /// When RAM was read, in order.
    pub fn moments(&self) -> Vec<Moment> {
        let mut moments = Vec::new();
        for seen in &self.ram {
            if !moments.contains(&seen.moment) {
                moments.push(seen.moment);
            }
        }
        moments
    }

    /// What was searched for.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<_> = self.ram.iter().map(|seen| seen.needle).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// The most that any reading at that moment showed.
    pub fn cell(&self, moment: Moment, kind: Kind) -> String {
        let seen = self
            .ram
            .iter()
            .filter(|seen| seen.moment == moment && seen.needle == kind);
        seen.max_by_key(|seen| seen.full_hits).map_or_else(
            || "-".to_owned(),
            |seen| match (seen.bare_hits, seen.expected_by_chance) {
                (Some(bare), Some(chance)) => format!("{} {bare}/{chance}", seen.full_hits),
                _ => seen.full_hits.to_string(),
            },
        )
    }
}

/// For the head of a column.
pub fn column(moment: Moment) -> &'static str {
    match moment {
        Moment::Before => "before",
        Moment::Connected => "connected",
        Moment::Released => "released",
        Moment::ReleasedAndAMinute => "released+60",
        Moment::Silence => "silence",
        Moment::SilenceAndAMinute => "silence+60",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(moment: Moment, kind: Kind, full: usize) -> Report {
        let needle = Needle {
            kind,
            forms: Vec::new(),
            bare: None,
        };
        let mut report = Report::new().unwrap();
        let hits = Hits {
            full,
            ..Hits::default()
        };
        report.add(moment, &[needle], &[hits]);
        report.judge();
        report
    }

    #[test]
    fn what_is_found_a_minute_after_the_release_was_remembered() {
        assert!(!report(Moment::ReleasedAndAMinute, Kind::PublicKey, 1).ok);
        assert!(report(Moment::ReleasedAndAMinute, Kind::PublicKey, 0).ok);
    }

    #[test]
    fn what_was_never_found_cannot_be_shown_to_be_forgotten() {
        let late = report(Moment::ReleasedAndAMinute, Kind::Name, 0);
        assert_eq!(late.forgot(&[Kind::Name]), None);
        let mut both = report(Moment::Connected, Kind::Name, 1);
        both.ram.extend(late.ram);
        assert_eq!(both.forgot(&[Kind::Name]), Some(true));
        assert_eq!(both.forgot(&[Kind::Name, Kind::Page]), None);
    }

    #[test]
    fn silence_ends_the_session_and_not_the_enrolment() {
        assert!(report(Moment::SilenceAndAMinute, Kind::PublicKey, 1).ok);
        assert!(!report(Moment::SilenceAndAMinute, Kind::Endpoint, 1).ok);
    }

    #[test]
    fn a_search_that_finds_nothing_while_connected_is_no_proof() {
        assert!(!report(Moment::Connected, Kind::Endpoint, 0).ok);
    }
}
