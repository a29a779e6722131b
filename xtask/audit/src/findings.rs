//! The results of reading one guest's RAM.

use std::collections::BTreeMap;

use anyhow::Error;
use serde::Serialize;

use super::dump::Reading;
use super::map::Map;
use super::needle::{Kind, Needle};

/// When RAM was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Moment {
    /// Before the customer sent or fetched anything.
    #[serde(rename = "before")]
    Before,
    /// While it is connected.
    #[serde(rename = "connected")]
    Connected,
    /// Just after it released its enrolment, or its token ended.
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
    /// When the node is up again after its kernel panicked.
    #[serde(rename = "panic")]
    Panic,
    /// When it is up again after a warm reboot.
    #[serde(rename = "reboot")]
    Reboot,
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
            Self::Panic => "panicked, and up again",
            Self::Reboot => "reset, and up again",
        }
    }

    /// For the head of a column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::Connected => "connected",
            Self::Released => "released",
            Self::ReleasedAndAMinute => "released+60",
            Self::Silence => "silence",
            Self::SilenceAndAMinute => "silence+60",
            Self::Panic => "panic",
            Self::Reboot => "reboot",
        }
    }

    /// Whether everything must have been forgotten by then.
    pub fn is_late(self) -> bool {
        !matches!(
            self,
            Self::Before | Self::Connected | Self::Released | Self::Silence
        )
    }

    /// Whether a needle may be there.
    pub fn allows(self, kind: Kind) -> bool {
        match self {
            _ if kind == Kind::Typed => false,
            Self::Before | Self::ReleasedAndAMinute | Self::Panic | Self::Reboot => false,
            Self::Connected | Self::Released | Self::Silence => true,
            Self::SilenceAndAMinute => kind.stays_with_the_enrolment(),
        }
    }
}

/// What a node is busy with beside the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// Nothing.
    Quiet,
    /// Other customers.
    Busy,
}

impl Load {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Busy => "busy",
        }
    }
}

/// How often one needle was found in one reading.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// Of which reading.
    pub moment: Moment,
    /// Of which guest.
    pub traffic: Load,
    /// Of which of the customer's devices: 4 or 6.
    pub ip: u8,
    /// What was searched for.
    pub needle: Kind,
    /// In a form that is unique.
    pub full_hits: usize,
    /// As four bytes of an IPv4 address alone.
    pub bare_hits: Option<usize>,
    /// The number that 999 of 1,000 unused addresses do not exceed.
    pub expected_by_chance: Option<usize>,
}

impl Seen {
    /// Whether it was found more often than by chance.
    pub fn is_found(&self) -> bool {
        let by_chance = self.expected_by_chance.unwrap_or(0);
        self.full_hits > 0 || self.bare_hits.is_some_and(|bare| bare > by_chance)
    }

    /// In words.
    pub fn describe(&self) -> String {
        let mut text = format!(
            "{} (IPv{}, {} node), {}: {} times",
            self.needle.name(),
            self.ip,
            self.traffic.name(),
            self.moment.name(),
            self.full_hits
        );
        if let (Some(bare), Some(chance)) = (self.bare_hits, self.expected_by_chance) {
            text += &format!(", bare {bare}, by chance {chance}");
        }
        text
    }

    /// Whether it was found where it must not be.
    pub fn is_remembered(&self) -> bool {
        self.is_found() && !self.moment.allows(self.needle)
    }
}

/// One reading of RAM as a picture.
#[derive(Debug)]
pub struct Picture {
    /// Of which reading.
    pub title: String,
    /// The picture.
    pub map: Map,
}

/// All readings of one guest.
pub struct Findings {
    /// What it was busy with.
    pub load: Load,
    /// What was found.
    pub seen: Vec<Seen>,
    /// In order.
    pub pictures: Vec<Picture>,
    /// Other things that were tried: whether each held, by the name of the promise.
    pub claims: BTreeMap<&'static str, bool>,
    /// The places of what was remembered.
    pub places: Vec<String>,
    /// What could not be tried.
    pub not_made: Vec<NotMade>,
}

/// An experiment that could not be made.
#[derive(Debug, Serialize)]
pub struct NotMade {
    /// With which guest.
    pub guest: &'static str,
    /// Which one.
    pub experiment: &'static str,
    /// What came in its way.
    pub why: String,
}

impl NotMade {
    /// In words.
    pub fn describe(&self) -> String {
        let Self {
            guest,
            experiment,
            why,
        } = self;
        format!("could not be made: {guest}, {experiment}: {why}")
    }
}

impl Findings {
    /// None yet.
    pub fn new(load: Load) -> Self {
        Self {
            load,
            seen: Vec::new(),
            pictures: Vec::new(),
            claims: BTreeMap::new(),
            places: Vec::new(),
            not_made: Vec::new(),
        }
    }

    /// What one reading showed.
    pub fn add(&mut self, moment: Moment, needles: &[Needle], reading: Reading) {
        self.count(moment, needles, &reading);
        self.picture(moment.name().to_owned(), reading.map);
    }

    /// The picture of a reading.
    pub fn picture(&mut self, title: String, map: Map) {
        self.pictures.push(Picture { title, map });
    }

    /// The same without a picture.
    pub fn count(&mut self, moment: Moment, needles: &[Needle], reading: &Reading) {
        for (needle, (hits, around)) in needles.iter().zip(reading.hits.iter().zip(&reading.around))
        {
            let seen = Seen {
                moment,
                traffic: self.load,
                ip: needle.ip.number(),
                needle: needle.kind,
                full_hits: hits.full,
                bare_hits: needle.bare.map(|_| hits.bare),
                expected_by_chance: needle.bare.map(|_| hits.by_chance),
            };
            if seen.is_remembered() {
                let places = around
                    .iter()
                    .map(|line| format!("{}: {line}", seen.describe()));
                self.places.extend(places);
            }
            self.seen.push(seen);
        }
    }

    /// Something could not be tried.
    pub fn not_made(&mut self, guest: &'static str, experiment: &'static str, why: &Error) {
        self.not_made.push(NotMade {
            guest,
            experiment,
            why: format!("{why:#}"),
        });
    }

    /// Records whether something that was tried held. Once it did not, that stays.
    pub fn claim(&mut self, promise: &'static str, held: bool) {
        *self.claims.entry(promise).or_insert(true) &= held;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_did_not_hold_once_does_not_hold() {
        let mut findings = Findings::new(Load::Quiet);
        findings.claim("disk", false);
        findings.claim("disk", true);
        assert_eq!(findings.claims.get("disk"), Some(&false));
    }

    #[test]
    fn four_bytes_are_found_when_they_are_there_more_often_than_by_chance() {
        let mut seen = Seen {
            moment: Moment::ReleasedAndAMinute,
            traffic: Load::Quiet,
            ip: 4,
            needle: Kind::Endpoint,
            full_hits: 0,
            bare_hits: Some(2),
            expected_by_chance: Some(2),
        };
        assert!(!seen.is_remembered());
        seen.bare_hits = Some(3);
        assert!(seen.is_remembered());
    }
}
