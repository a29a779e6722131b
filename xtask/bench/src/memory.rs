//! The memory that a server uses for peers that are known and silent.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_host::progress::{say, step};
use mayfly_host::signals;
use mayfly_host::teardown::Tag;

use super::enrol::random;
use super::kinds::Kind;
use super::load::Cost;
use super::plan::{self, memory_id};
use super::report::Report;
use super::server::Server;
use super::testbed::Testbed;

/// How long a server may take to free what it needed to learn of its peers.
pub(crate) const SETTLE: Duration = Duration::from_secs(2);

/// Reads the memory of one server, with more and more peers.
///
/// # Errors
/// The server does not take them.
pub(crate) fn measure(tag: &Tag, kind: &Kind, peers: &[usize], report: &mut Report) -> Result<()> {
    let testbed = Testbed::make(tag, plan::ONE)?;
    let server = Server::bare(&testbed, kind, plan::ONE)?;
    let mut known = 0;
    for &peers in peers.iter().filter(|peers| kind.takes(**peers)) {
        let keys = (known..peers)
            .map(|_| Ok(STANDARD.encode(random::<32>()?)))
            .collect::<Result<Vec<_>>>()?;
        let keys: Vec<_> = keys.iter().map(String::as_str).collect();
        step(&format!("  tell it of {} peers", keys.len()), || {
            server.take(&testbed, known, &keys)
        })?;
        known += keys.len();
        thread::sleep(SETTLE);
        signals::check()?;
        let cost = Cost::of(server.memory());
        let id = memory_id(peers);
        say(&format!("  {id:<20} {:>8.1} MiB", cost.value));
        report.add(&id, "MiB", kind, &cost);
    }
    Ok(())
}
