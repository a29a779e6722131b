//! The guest's RAM, and the search in it.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result, ensure};

use super::map::Map;
use super::needle::Needle;
use super::qmp::Qmp;

/// How often a needle was found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hits {
    /// In a form that is unique.
    pub full: usize,
    /// As the four bytes of an address alone.
    pub bare: usize,
    /// The number of bare hits that 999 of 1,000 unused addresses do not exceed.
    pub by_chance: usize,
}

impl Hits {
    /// Whether it was found more often than by chance.
    pub fn is_found(&self) -> bool {
        self.full > 0 || self.bare > self.by_chance
    }
}

/// What one reading of RAM showed.
pub struct Reading {
    /// The hits of each needle, in order.
    pub hits: Vec<Hits>,
    /// Where in RAM they were.
    pub map: Map,
    /// For each needle, in order, some places with the bytes around them.
    pub around: Vec<Vec<String>>,
}

impl Reading {
    /// Merges another reading: its picture, and the higher count of both.
    pub fn raise(&mut self, other: Self) {
        self.map = other.map;
        for (hits, other) in self.hits.iter_mut().zip(other.hits) {
            hits.full = hits.full.max(other.full);
            hits.bare = hits.bare.max(other.bare);
            hits.by_chance = hits.by_chance.max(other.by_chance);
        }
    }
}

#[cfg(test)]
impl Reading {
    /// Of a page of RAM with one needle.
    pub fn of(hits: Hits) -> Self {
        Self {
            hits: vec![hits],
            map: Map::of(&[1; 4096]),
            around: vec![Vec::new()],
        }
    }
}

/// Unused addresses, which show how often four bytes are found by chance.
const CONTROLS: usize = 1_000;

/// Bytes that are shown before and behind a place, and places that are shown.
const AROUND: usize = 96;
const MOST_PLACES: usize = 8;

/// What `tests/mortal` leaves in its memory, each byte inverted; and what is behind it until the
/// daemon is to be killed. Its source has the same.
pub(super) const MORTAL: [u8; 32] = *b"the daemon dies when this is set";
const WAITING: u64 = 1;

/// RAM in a file that QEMU shares.
pub(crate) struct Dump {
    ram: PathBuf,
    /// Of the guest.
    pub qmp: Qmp,
}

impl Dump {
    /// The RAM of the guest behind the monitor.
    pub(crate) fn new(ram: PathBuf, qmp: Qmp) -> Self {
        Self { ram, qmp }
    }

    /// Holds the guest still, reads all of its RAM, and searches it.
    ///
    /// # Errors
    /// The guest does not stand still, or the file cannot be read.
    pub(crate) fn search(&self, needles: &[Needle]) -> Result<Reading> {
        self.qmp.command("stop")?;
        let ram = self.read();
        self.qmp.command("cont")?;
        search(&ram?, needles)
    }

    /// The same for a guest that has stopped already.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn search_still(&self, needles: &[Needle]) -> Result<Reading> {
        search(&self.read()?, needles)
    }

    /// Tells `tests/mortal` to kill the daemon: it has left a mark in its memory, and looks whether
    /// what is behind the mark changes.
    ///
    /// # Errors
    /// There is no such mark: another image was booted.
    pub(crate) fn order_death(&self) -> Result<()> {
        let mark = MORTAL.map(|byte| !byte);
        let pattern = [&mark[..], &WAITING.to_le_bytes()].concat();
        self.qmp.command("stop")?;
        let ram = self.read();
        let ordered = ram.and_then(|ram| {
            let found = places(&ram, &[pattern])?.concat();
            ensure!(!found.is_empty(), "nobody waits to kill the daemon");
            let file = OpenOptions::new().write(true).open(&self.ram)?;
            for at in found {
                file.write_all_at(&[0; 8], u64::try_from(at + mark.len())?)?;
            }
            Ok(())
        });
        self.qmp.command("cont")?;
        ordered
    }

    fn read(&self) -> Result<Vec<u8>> {
        let mut ram = Vec::new();
        File::open(&self.ram)
            .and_then(|mut file| file.read_to_end(&mut ram))
            .context("cannot read the guest's RAM")?;
        Ok(ram)
    }
}

/// Searches memory.
///
/// # Errors
/// There are too many needles.
pub(crate) fn search(ram: &[u8], needles: &[Needle]) -> Result<Reading> {
    let used: Vec<_> = needles.iter().filter_map(|needle| needle.bare).collect();
    let mut patterns = Patterns::default();
    for (number, needle) in needles.iter().enumerate() {
        for form in &needle.forms {
            patterns.add(form.clone(), Meaning::Full(number));
        }
        if let Some(bare) = needle.bare {
            patterns.add(bare.octets().to_vec(), Meaning::Bare(number));
            for control in controls(bare, &used) {
                patterns.add(control.octets().to_vec(), Meaning::Control(number));
            }
        }
    }
    let places = places(ram, &patterns.bytes)?;
    let mut found = vec![Found::default(); needles.len()];
    let mut map = Map::of(ram);
    for (meaning, places) in patterns.meaning.iter().zip(&places) {
        match *meaning {
            Meaning::Full(number) => {
                found[number].full += places.len();
                found[number].places.extend(places);
                map.mark(needles[number].kind, places);
            }
            Meaning::Bare(number) => {
                found[number].bare += places.len();
                found[number].places.extend(places);
            }
            Meaning::Control(number) => found[number].controls.push(places.len()),
        }
    }
    let around = found.iter().map(|found| found.around(ram)).collect();
    let hits = found.into_iter().map(Found::judge).collect();
    Ok(Reading { hits, map, around })
}

#[derive(Default)]
struct Patterns {
    bytes: Vec<Vec<u8>>,
    meaning: Vec<Meaning>,
}

impl Patterns {
    fn add(&mut self, bytes: Vec<u8>, meaning: Meaning) {
        self.bytes.push(bytes);
        self.meaning.push(meaning);
    }
}

/// The role of a pattern for the needle with that number.
#[derive(Clone, Copy)]
enum Meaning {
    Full(usize),
    Bare(usize),
    Control(usize),
}

#[derive(Clone, Default)]
struct Found {
    full: usize,
    bare: usize,
    controls: Vec<usize>,
    places: Vec<usize>,
}

impl Found {
    /// The bytes around some of the places, for finding out what kept a needle.
    fn around(&self, ram: &[u8]) -> Vec<String> {
        let mut places = self.places.clone();
        places.sort_unstable();
        places.dedup();
        let line = |at: &usize| {
            let from = at.saturating_sub(AROUND) & !15;
            let bytes = ram.get(from..(from + 2 * AROUND).min(ram.len()));
            let words = bytes.unwrap_or_default().chunks(8);
            let words = words.map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect());
            format!(
                "{at:#010x} in {from:#010x}: {}",
                words.collect::<Vec<String>>().join(" ")
            )
        };
        places.iter().take(MOST_PLACES).map(line).collect()
    }

    fn judge(mut self) -> Hits {
        self.controls.sort_unstable();
        let percentile = self.controls.len().saturating_sub(2);
        Hits {
            full: self.full,
            bare: self.bare,
            by_chance: self.controls.get(percentile).copied().unwrap_or(0),
        }
    }
}

/// The places of each pattern.
fn places(ram: &[u8], patterns: &[Vec<u8>]) -> Result<Vec<Vec<usize>>> {
    let searcher = AhoCorasick::new(patterns).context("cannot search for so much")?;
    let mut places = vec![Vec::new(); patterns.len()];
    for found in searcher.find_overlapping_iter(ram) {
        places[found.pattern().as_usize()].push(found.start());
    }
    Ok(places)
}

/// The nearest addresses that no party of the experiment has: bytes of the same kind, which are as
/// likely in code and data as the needle's own.
fn controls(address: Ipv4Addr, used: &[Ipv4Addr]) -> Vec<Ipv4Addr> {
    let own = u32::from(address);
    // Without the first addresses of a prefix, which belong to hosts and routers.
    let is_free = |other: &Ipv4Addr| !used.contains(other) && other.octets()[3] > 15;
    let around = (1..).flat_map(|far| [own.wrapping_add(far), own.wrapping_sub(far)]);
    let around = around.map(Ipv4Addr::from).filter(is_free);
    around.take(CONTROLS).collect()
}

#[cfg(test)]
mod tests {
    use super::super::enrolment::Ip;
    use super::super::needle::Kind;
    use super::*;

    #[test]
    fn what_chance_gives_is_what_999_of_1000_addresses_stay_within() {
        let address = Ipv4Addr::new(10, 64, 3, 17);
        let controls = controls(address, &[Ipv4Addr::new(10, 64, 3, 18), address]);
        assert_eq!(controls.len(), CONTROLS);
        assert!(!controls.contains(&Ipv4Addr::new(10, 64, 3, 18)));
        let found = |most: usize| Found {
            controls: (0..CONTROLS)
                .map(|n| if n < most { 7 } else { 0 })
                .collect(),
            ..Found::default()
        };
        assert_eq!(found(1).judge().by_chance, 0);
        assert_eq!(found(2).judge().by_chance, 7);
    }

    #[test]
    fn what_is_there_is_found_as_often_as_it_is() {
        let mut ram = vec![0; 1 << 20];
        ram[1000..1008].copy_from_slice(b"needle01");
        ram[5000..5008].copy_from_slice(b"needle01");
        ram[9000..9004].copy_from_slice(&[203, 0, 113, 2]);
        let needle = |form: &[u8]| Needle {
            kind: Kind::Endpoint,
            ip: Ip::V4,
            forms: vec![form.to_vec()],
            bare: Some([203, 0, 113, 2].into()),
        };
        let reading = search(&ram, &[needle(b"needle01"), needle(b"needle02")]).unwrap();
        let hits = reading.hits;
        assert_eq!((hits[0].full, hits[0].bare, hits[0].by_chance), (2, 1, 0));
        assert_eq!(hits[1].full, 0);
    }
}
