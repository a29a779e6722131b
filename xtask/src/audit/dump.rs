//! The guest's RAM, and the search in it.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result};

use super::map::Map;
use super::needle::Needle;
use super::qmp::Qmp;

/// How often a needle was found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hits {
    /// In a form that nothing else has.
    pub full: usize,
    /// As four bytes of an address alone.
    pub bare: usize,
    /// Bare hits that 999 of 1,000 addresses that nobody has stay within.
    pub by_chance: usize,
}

/// What one reading of RAM showed.
pub struct Reading {
    /// Of each needle, in order.
    pub hits: Vec<Hits>,
    /// Where in RAM they were.
    pub map: Map,
}

/// Addresses that nobody has: how often four bytes are found by chance.
const CONTROLS: usize = 1_000;

/// RAM in a file that QEMU shares.
pub struct Dump {
    ram: PathBuf,
    qmp: Qmp,
}

impl Dump {
    /// The RAM of the guest behind the monitor.
    pub fn new(ram: PathBuf, qmp: Qmp) -> Self {
        Self { ram, qmp }
    }

    /// Holds the guest still, reads all of its RAM, and searches it.
    ///
    /// # Errors
    /// The guest does not stand still, or the file cannot be read.
    pub fn search(&self, needles: &[Needle]) -> Result<Reading> {
        self.qmp.command("stop")?;
        let ram = self.read();
        self.qmp.command("cont")?;
        search(&ram?, needles)
    }

    fn read(&self) -> Result<Vec<u8>> {
        let mut ram = Vec::new();
        File::open(&self.ram)
            .and_then(|mut file| file.read_to_end(&mut ram))
            .context("cannot read the guest's RAM")?;
        Ok(ram)
    }
}

fn search(ram: &[u8], needles: &[Needle]) -> Result<Reading> {
    let mut patterns: Vec<Vec<u8>> = Vec::new();
    let mut meaning = Vec::new();
    for (number, needle) in needles.iter().enumerate() {
        for form in &needle.forms {
            patterns.push(form.clone());
            meaning.push((number, true));
        }
        if let Some(bare) = needle.bare {
            patterns.push(bare.to_vec());
            meaning.push((number, false));
        }
    }
    let known = patterns.len();
    patterns.extend((0..CONTROLS).map(|number| control(number).to_vec()));
    let places = places(ram, &patterns)?;
    let controls = places.get(known..).unwrap_or_default();
    let mut controls: Vec<_> = controls.iter().map(Vec::len).collect();
    controls.sort_unstable();
    let by_chance = controls.get(CONTROLS - 2).copied().unwrap_or_default();
    let mut hits = vec![
        Hits {
            by_chance,
            ..Hits::default()
        };
        needles.len()
    ];
    let mut map = Map::of(ram);
    for ((number, full), places) in meaning.into_iter().zip(&places) {
        let hits = &mut hits[number];
        if full {
            hits.full += places.len();
            map.mark(needles[number].kind, places);
        } else {
            hits.bare += places.len();
        }
    }
    Ok(Reading { hits, map })
}

/// Where each pattern is.
fn places(ram: &[u8], patterns: &[Vec<u8>]) -> Result<Vec<Vec<usize>>> {
    let searcher = AhoCorasick::new(patterns).context("cannot search for so much")?;
    let mut places = vec![Vec::new(); patterns.len()];
    for found in searcher.find_overlapping_iter(ram) {
        places[found.pattern().as_usize()].push(found.start());
    }
    Ok(places)
}

/// An address in 11.0.0.0/8 that is as irregular as a real one.
fn control(number: usize) -> [u8; 4] {
    let mixed = (number as u32 + 1).wrapping_mul(0x9e37_79b1) >> 8;
    let [_, a, b, c] = mixed.to_be_bytes();
    [11, a | 1, b | 1, c | 1]
}

#[cfg(test)]
mod tests {
    use super::super::needle::Kind;
    use super::*;

    #[test]
    fn what_is_there_is_found_as_often_as_it_is() {
        let mut ram = vec![0; 1 << 20];
        ram[1000..1008].copy_from_slice(b"needle01");
        ram[5000..5008].copy_from_slice(b"needle01");
        ram[9000..9004].copy_from_slice(&[203, 0, 113, 2]);
        let needle = |form: &[u8]| Needle {
            kind: Kind::Endpoint,
            forms: vec![form.to_vec()],
            bare: Some([203, 0, 113, 2]),
        };
        let reading = search(&ram, &[needle(b"needle01"), needle(b"needle02")]).unwrap();
        let hits = reading.hits;
        assert_eq!((hits[0].full, hits[0].bare, hits[0].by_chance), (2, 1, 0));
        assert_eq!(hits[1].full, 0);
    }
}
