//! The account service before and after a connect: its files do not change, it prints nothing, and
//! nothing of the connect is in its memory.

use std::time::{Duration, Instant};

use anyhow::Result;
use mayfly_host::signals;

use super::dump;
use super::needle::{self, Kind, Needle};
use super::scene::{Party, Scene};
use super::store::Store;

/// How long a request may stay in memory after its answer.
const LIMIT: Duration = Duration::from_secs(5);

/// Needles that the account service never has, or only during a request.
const NOT_ITS: [Kind; 9] = [
    Kind::Endpoint,
    Kind::SessionKeys,
    Kind::Connection,
    Kind::Visited,
    Kind::Name,
    Kind::Page,
    Kind::PublicKey,
    Kind::PresharedKey,
    Kind::InnerAddress,
];

impl Scene<'_> {
    /// After devices have come and gone: checks whether the account service has anything of that.
    ///
    /// # Errors
    /// Its files or its memory cannot be read.
    pub(super) fn search_account_service(&self, party: &Party<'_>) -> Result<()> {
        let store = Store::of(self.lab, self.operator);
        let unmoved = store.files()? == self.files && store.is_silent()?;
        let (held, remembers) = self
            .strand
            .step("search the account service's memory", || {
                let home = party.stock[0].enrolment.home();
                let login = needle::login(home, &home.login()?);
                let request = home.ask_for_token()?;
                let held = !found(&store, std::slice::from_ref(&login))?.is_empty();
                request.finish()?;
                let mut needles = party.needles();
                needles.retain(|needle| NOT_ITS.contains(&needle.kind));
                needles.push(login);
                Ok((held, stays(&store, &needles, self.patience.of(LIMIT))?))
            })?;
        let mut findings = self.findings.borrow_mut();
        findings.claim("account-store", unmoved);
        // A search that cannot find a password while it is there shows nothing.
        if held {
            findings.claim("account-memory", remembers.is_empty());
        }
        let lines = remembers.into_iter();
        findings
            .places
            .extend(lines.map(|line| format!("account service: {line}")));
        Ok(())
    }

    /// Checks that a connect leads to nothing but the account service's daily write.
    ///
    /// # Errors
    /// The service is gone.
    pub(crate) fn daily_write(&self) -> Result<()> {
        let store = Store::of(self.lab, self.operator);
        let is_all = self.strand.step("the hour of the daily write, twice", || {
            store.daily_write_is_all()
        })?;
        self.findings.borrow_mut().claim("daily-write", is_all);
        Ok(())
    }
}

/// What is still there a little later: the memory of a request is freed after its answer.
fn stays(store: &Store<'_>, needles: &[Needle], limit: Duration) -> Result<Vec<String>> {
    let started = Instant::now();
    loop {
        let found = found(store, needles)?;
        if found.is_empty() || started.elapsed() > limit {
            return Ok(found);
        }
        signals::check()?;
    }
}

/// Those that are in the service's memory, with the places.
fn found(store: &Store<'_>, needles: &[Needle]) -> Result<Vec<String>> {
    let reading = dump::search(&store.memory()?, needles)?;
    let each = needles.iter().zip(reading.hits.iter().zip(reading.around));
    let found = each.filter(|(_, (hits, _))| hits.is_found());
    let lines = found.flat_map(|(needle, (_, around))| {
        let name = needle.kind.name();
        around
            .into_iter()
            .map(move |line| format!("{name}: {line}"))
    });
    Ok(lines.collect())
}
