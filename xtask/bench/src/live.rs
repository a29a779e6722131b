//! The cost of peers that have a session and send nothing.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use boringtun::x25519::StaticSecret;
use mayfly_host::progress::{say, step};
use mayfly_host::signals;
use mayfly_host::teardown::Tag;

use super::client::Access;
use super::initiator::{Initiator, key_pairs};
use super::kinds::Kind;
use super::load::Cost;
use super::memory::SETTLE;
use super::plan::{self, LIVE, LIVE_PEERS};
use super::report::Report;
use super::server::Server;
use super::testbed::Testbed;

/// Handshakes at a time.
const AT_ONCE: usize = 12;
/// Attempts for each handshake: a server may admit only a certain number a second.
const TRIES: usize = 40;
/// Each address has several ports, beginning with this one.
const FIRST_PORT: u16 = 20_000;
/// How long the server is left alone: shorter than the time after which silent sessions end.
const QUIET: Duration = Duration::from_secs(20);

/// Measures memory and CPU time of one server whose peers are all live and silent.
///
/// # Errors
/// The server does not take them.
pub(crate) fn measure(tag: &Tag, kind: &Kind, report: &mut Report) -> Result<()> {
    if !kind.has_room() {
        say("  has no room for that many");
        return Ok(());
    }
    let testbed = Testbed::make(tag, plan::ONE)?;
    let addresses: Vec<_> = testbed.many_clients()?.collect();
    let (secrets, keys) = key_pairs(LIVE_PEERS)?;
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let mut server = Server::bare(&testbed, kind, plan::ONE)?;
    let access = step(&format!("  tell it of {LIVE_PEERS} peers"), || {
        server.take(&testbed, 0, &keys)
    })?;
    server.leave_alone();
    step("  handshakes", || {
        testbed
            .client
            .inside(|| shake_hands(secrets, &access, &addresses))
    })?;
    thread::sleep(SETTLE);
    let (memory, before) = (server.memory(), server.cpu());
    thread::sleep(QUIET);
    let share = (server.cpu() - before) / QUIET.as_secs_f64() * 100.0;
    let [memory_id, share_id] = LIVE;
    say(&format!(
        "  {memory_id:<20} {memory:>8.1} MiB, {share:.2} % of a core"
    ));
    report.add(memory_id, "MiB", kind, &Cost::of(memory));
    report.add(share_id, "% of a core", kind, &Cost::of(share));
    Ok(())
}

/// Gives each peer a session, from its own address and port, and ends the initiators.
fn shake_hands(
    secrets: Vec<StaticSecret>,
    access: &[Access],
    addresses: &[Ipv4Addr],
) -> Result<()> {
    let part = secrets.len().div_ceil(AT_ONCE);
    let places = (FIRST_PORT..).flat_map(|port| {
        let place = move |address: &Ipv4Addr| SocketAddrV4::new(*address, port);
        addresses.iter().map(place)
    });
    let peers: Vec<_> = secrets.into_iter().zip(access).zip(places).collect();
    thread::scope(|scope| {
        let threads: Vec<_> = peers
            .chunks(part)
            .map(|part| scope.spawn(move || part.iter().try_for_each(one)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a panic"))??;
        }
        Ok(())
    })
}

fn one(((secret, access), place): &((StaticSecret, &Access), SocketAddrV4)) -> Result<()> {
    signals::check()?;
    let mut initiator = Initiator::new(secret.clone(), access, *place)?;
    for _ in 0..TRIES {
        if initiator.shake_hands()? {
            return Ok(());
        }
    }
    ensure!(false, "a handshake is never answered");
    Ok(())
}
