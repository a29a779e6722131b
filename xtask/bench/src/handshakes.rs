//! Handshakes: how many a server completes, and what each costs.
//!
//! Each initiator has its own key and its own address. If a server admits only a certain number a
//! second, that number is its rate.

use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use mayfly_host::progress::say;
use mayfly_host::signals;
use mayfly_host::teardown::Tag;

use super::initiator::{Initiator, key_pairs};
use super::kinds::Kind;
use super::load::Cost;
use super::plan::{self, HANDSHAKES};
use super::report::Report;
use super::server::Server;
use super::testbed::Testbed;

/// Initiators, and those of them that wait for an answer at a time: fewer than make
/// wireguard-go say that it is under load.
const INITIATORS: usize = 240;
const AT_ONCE: usize = 12;

/// Measures one server.
///
/// # Errors
/// It does not start, or answers no initiator.
pub(crate) fn measure(tag: &Tag, kind: &Kind, time: Duration, report: &mut Report) -> Result<()> {
    let testbed = Testbed::make(tag, plan::ONE)?;
    let addresses: Vec<_> = testbed.many_clients()?.take(INITIATORS).collect();
    let (secrets, keys) = key_pairs(addresses.len())?;
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let server = Server::bare(&testbed, kind, plan::ONE)?;
    let access = server.take(&testbed, 0, &keys)?;
    let mut initiators = testbed.client.inside(|| {
        let parts = secrets.into_iter().zip(&access).zip(addresses);
        parts
            .map(|((secret, access), address)| {
                Initiator::new(secret, access, SocketAddrV4::new(address, 0))
            })
            .collect::<Result<Vec<_>>>()
    })?;
    // From here on every initiator is known, and has a cookie if the server asks for one.
    let known = storm(&mut initiators, Duration::ZERO)?;
    ensure!(known > 0, "no handshake is answered");
    let (before, started) = (server.cpu(), Instant::now());
    let done = storm(&mut initiators, time)?;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), server.cpu() - before);
    ensure!(done > 0, "no handshake is answered");
    let (cost, rate) = (cpu * 1e6 / done as f64, done as f64 / seconds);
    let [cost_id, rate_id] = HANDSHAKES;
    say(&format!(
        "  {cost_id:<20} {cost:>8.0} us, {rate:.0} a second"
    ));
    report.add(cost_id, "CPU-us/handshake", kind, &Cost::of(cost));
    report.add(rate_id, "handshakes/s", kind, &Cost::of(rate));
    Ok(())
}

/// Lets all initiators have handshakes for a time, once each at least; how many were completed.
fn storm(initiators: &mut [Initiator], time: Duration) -> Result<usize> {
    let end = Instant::now() + time;
    let part = initiators.len().div_ceil(AT_ONCE);
    thread::scope(|scope| {
        let threads: Vec<_> = initiators
            .chunks_mut(part)
            .map(|part| scope.spawn(move || repeat(part, end)))
            .collect();
        let mut done = 0;
        for thread in threads {
            done += thread.join().map_err(|_| anyhow!("a panic"))??;
        }
        Ok(done)
    })
}

fn repeat(initiators: &mut [Initiator], end: Instant) -> Result<usize> {
    let mut done = 0;
    loop {
        for initiator in &mut *initiators {
            done += usize::from(initiator.shake_hands()?);
        }
        signals::check()?;
        if Instant::now() >= end {
            return Ok(done);
        }
    }
}
