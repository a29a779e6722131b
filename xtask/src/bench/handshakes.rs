//! Handshakes: how many a server completes, and what one costs it.
//!
//! The initiators are the published boringtun's, the same for all servers. Each has a key and
//! an address of its own, answers cookies, and sends the first transport packet, as a client
//! does. A server that admits only so many a second shows that as its rate.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

use super::client::Access;
use super::enrol::random;
use super::kinds::Kind;
use super::lab::Lab;
use super::load::Cost;
use super::plan::{self, HANDSHAKES};
use super::report::Report;
use super::server::Server;
use crate::progress::say;
use crate::signals;
use crate::teardown::Tag;

/// Initiators, and those of them that wait for an answer at a time: fewer than make
/// wireguard-go say that it is under load.
const INITIATORS: usize = 240;
const AT_ONCE: usize = 12;
/// How long one waits for an answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// The first byte of a cookie reply (WireGuard paper, section 5.4.7).
const COOKIE: u8 = 3;
/// Longest message of a handshake, in bytes, and more.
const MESSAGE: usize = 256;

/// Measures one server.
///
/// # Errors
/// It does not start, or answers nobody.
pub fn measure(tag: &Tag, kind: &Kind, time: Duration, report: &mut Report) -> Result<()> {
    let lab = Lab::make(tag, plan::ONE)?;
    let addresses: Vec<_> = lab.many_clients()?.take(INITIATORS).collect();
    let secrets = addresses
        .iter()
        .map(|_| Ok(StaticSecret::from(random::<32>()?)))
        .collect::<Result<Vec<_>>>()?;
    let keys: Vec<_> = secrets
        .iter()
        .map(|secret| STANDARD.encode(PublicKey::from(secret)))
        .collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let server = Server::bare(&lab, kind, plan::ONE)?;
    let access = server.take(&lab, 0, &keys)?;
    let mut initiators = lab.client.inside(|| {
        let parts = secrets.into_iter().zip(&access).zip(addresses).enumerate();
        parts
            .map(|(number, ((secret, access), address))| {
                Initiator::new(secret, access, address, number as u32)
            })
            .collect::<Result<Vec<_>>>()
    })?;
    // Everybody is known, and has a cookie where one is asked for.
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

struct Initiator {
    tunn: Tunn,
    socket: UdpSocket,
}

impl Initiator {
    /// One at `address`, in the namespace of the caller's thread.
    fn new(secret: StaticSecret, access: &Access, address: Ipv4Addr, number: u32) -> Result<Self> {
        let socket = UdpSocket::bind((address, 0)).context("cannot bind a client's address")?;
        socket.connect(access.endpoint.parse::<SocketAddr>()?)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let server = PublicKey::from(key(&access.public_key)?);
        let preshared = access.preshared_key.as_deref().map(key).transpose()?;
        // It is the server that shall limit.
        let limiter = RateLimiter::new(&PublicKey::from(&secret), u64::MAX);
        let limiter = Some(Arc::new(limiter));
        Ok(Self {
            tunn: Tunn::new(secret, server, preshared, None, number, limiter),
            socket,
        })
    }

    /// One handshake, and a second try if a cookie was asked for; whether it was completed.
    fn shake_hands(&mut self) -> Result<bool> {
        Ok(match self.attempt()? {
            Answer::Cookie => matches!(self.attempt()?, Answer::Response),
            answer => matches!(answer, Answer::Response),
        })
    }

    fn attempt(&mut self) -> Result<Answer> {
        let mut out = [0; MESSAGE];
        let TunnResult::WriteToNetwork(initiation) =
            self.tunn.format_handshake_initiation(&mut out, true)
        else {
            return Err(anyhow!("no initiation is made"));
        };
        self.socket.send(initiation)?;
        let mut datagram = [0; MESSAGE];
        // Silence ends it; an answer that came too late for an earlier one does not.
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let datagram = datagram.get(..length).unwrap_or_default();
            match self.tunn.decapsulate(None, datagram, &mut out) {
                TunnResult::WriteToNetwork(first) => {
                    self.socket.send(first)?;
                    return Ok(Answer::Response);
                }
                TunnResult::Done if datagram.first() == Some(&COOKIE) => return Ok(Answer::Cookie),
                _ => {}
            }
        }
        Ok(Answer::None)
    }
}

enum Answer {
    Response,
    Cookie,
    None,
}

fn key(base64: &str) -> Result<[u8; 32]> {
    let bytes = STANDARD.decode(base64).context("a key that is no base64")?;
    bytes
        .try_into()
        .map_err(|_| anyhow!("a key of no 32 bytes"))
}
