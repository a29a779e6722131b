//! A write in place of the shipped node, and what becomes of the machine.
//!
//! ```text
//!   attack image         leaves a mark in RAM, is confined, creates a file
//!     -> SIGSYS -> PID 1 restarts the machine -> it asks for its settings again
//! ```
//!
//! The second request gets no answer, so that RAM is read while the machine waits: it has restarted,
//! and nothing from before may be left.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aho_corasick::AhoCorasick;
use anyhow::{Context as _, Result};
use mayfly_host::process::Job;
use mayfly_host::signals;
use mayfly_lab::web::Web;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::{PATIENCE, PHRASE};

/// As in `tests/attack/src/main.rs`.
const AS_SHIPPED: &str = "# attack: write under the shipped filter";
const LOOK: Duration = Duration::from_millis(200);

/// The result.
#[derive(Debug, Serialize)]
pub struct Violation {
    /// The machine restarted.
    pub restarted: bool,
    /// How often the mark was found in RAM before, and how often after.
    pub marks: [usize; 2],
}

impl Violation {
    /// What is not as it should be.
    pub fn failure(&self) -> Option<String> {
        (!self.restarted || self.marks[0] == 0 || self.marks[1] > 0)
            .then(|| format!("a write under the shipped filter: {self:?}"))
    }
}

/// Settings that ask the attacker for the write.
///
/// # Errors
/// The example cannot be read.
pub fn settings(example: &Path) -> Result<String> {
    let example = fs::read_to_string(example).context("cannot read the example settings")?;
    Ok(format!("{example}\n{AS_SHIPPED}\n"))
}

/// Watches the machine.
///
/// # Errors
/// It never gets as far as the attempt.
pub fn observe(ram: &Path, guest: &mut Job, web: Web) -> Result<Violation> {
    let address = web.address();
    let before = wait(guest, || Ok(Some(marks(ram)?).filter(|marks| *marks > 0)))?;
    let before = before.context("the attacker left no mark")?;
    drop(web);
    let listener = TcpListener::bind(address).context("cannot listen where settings are")?;
    listener.set_nonblocking(true)?;
    let asked = wait(guest, || asked(&listener))?;
    // The connection stays open, and unanswered, until RAM is read.
    let marks = [before, marks(ram)?];
    Ok(Violation {
        restarted: asked.is_some(),
        marks,
    })
}

fn asked(listener: &TcpListener) -> Result<Option<(std::net::TcpStream, SocketAddr)>> {
    match listener.accept() {
        Ok(asked) => Ok(Some(asked)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn wait<T>(guest: &mut Job, look: impl Fn() -> Result<Option<T>>) -> Result<Option<T>> {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(seen) = look()? {
            return Ok(Some(seen));
        }
        guest.still_runs()?;
        signals::check()?;
        thread::sleep(LOOK);
    }
    Ok(None)
}

fn marks(ram: &Path) -> Result<usize> {
    let ram = fs::read(ram).context("cannot read the guest's RAM")?;
    let search = AhoCorasick::new([Sha256::digest(PHRASE)]).context("cannot search RAM")?;
    Ok(search.find_iter(&ram).count())
}
