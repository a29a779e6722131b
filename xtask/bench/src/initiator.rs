//! A client that only makes handshakes: the published boringtun, the same for all servers. It
//! answers cookies, and sends the first transport packet, as any client does.

use std::net::{SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

use super::client::Access;
use super::enrol::random;

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_millis(250);
/// The first byte of a cookie reply (WireGuard paper, section 5.4.7).
const COOKIE: u8 = 3;
/// More bytes than the longest message of a handshake has.
const MESSAGE: usize = 256;

/// A number of private keys, and the public keys that belong to them, in base64.
///
/// # Errors
/// The kernel gives no randomness.
pub(crate) fn key_pairs(count: usize) -> Result<(Vec<StaticSecret>, Vec<String>)> {
    let pair = |_| {
        let secret = StaticSecret::from(random::<32>()?);
        let public_key = STANDARD.encode(PublicKey::from(&secret));
        Ok((secret, public_key))
    };
    (0..count).map(pair).collect()
}

/// One, with a socket.
pub(crate) struct Initiator {
    tunn: Tunn,
    socket: UdpSocket,
}

impl Initiator {
    /// An initiator at `place`, in the namespace of the caller's thread. The port may be 0 for any.
    ///
    /// # Errors
    /// The address is not the namespace's, or what the server granted is no address or key.
    pub(crate) fn new(secret: StaticSecret, access: &Access, place: SocketAddrV4) -> Result<Self> {
        let socket = UdpSocket::bind(place).context("cannot bind a client's address")?;
        socket.connect(access.endpoint.parse::<SocketAddr>()?)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let server = PublicKey::from(key(&access.public_key)?);
        let preshared = access.preshared_key.as_deref().map(key).transpose()?;
        // The limit under test is the server's.
        let limiter = RateLimiter::new(&PublicKey::from(&secret), u64::MAX);
        let limiter = Some(Arc::new(limiter));
        Ok(Self {
            tunn: Tunn::new(secret, server, preshared, None, 0, limiter),
            socket,
        })
    }

    /// One handshake, and a second try if a cookie was asked for; whether it was completed.
    ///
    /// # Errors
    /// Nothing can be sent.
    pub(crate) fn shake_hands(&mut self) -> Result<bool> {
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
        // Silence ends the attempt. A late answer to an earlier attempt does not.
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
