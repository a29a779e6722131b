//! A live peer: boringtun's state machine, kept from doing what a server must not.
//!
//! [`Tunn`] is an initiator as much as a responder. It is held to the second part by what it
//! is given: it is never asked to encapsulate without a session (it would queue the packet
//! and start a handshake), and its timers get room for a keepalive but none for an initiation
//! (it gives up before it has changed anything).

use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::Path;
use crate::spec::{
    INITIATION_LEN, KEEPALIVE_TIMEOUT, REJECT_AFTER_TIME, REKEY_ATTEMPT_TIME, TRANSPORT_OVERHEAD,
};

/// ICMPv6 errors to one peer a second (RFC 4443 section 2.4 (f) wants a limit).
const ERRORS_PER_SECOND: u8 = 10;

pub(crate) struct Session {
    tunn: Tunn,
    /// The upper 24 bits of every receiver index that this Tunn hands out.
    pub index: u32,
    state: State,
    /// Since when the peer's data has had nothing back. Tunn's own timers see no order within a
    /// tick, and so miss data that came right after we last sent.
    owes_keepalive: Option<Instant>,
    errors: Allowance,
}

enum State {
    /// An initiation was answered, maybe a recorded one. No transport packet has come.
    HalfOpen { answered: Instant },
    /// A transport packet has authenticated the peer, and its path.
    Up { endpoint: Path, heard: Instant },
}

/// What a transport packet held that authenticated.
pub(crate) enum Received {
    Keepalive,
    /// An inner packet of so many bytes at the start of the room.
    Packet(usize),
    /// Something that is no IP packet.
    Malformed,
}

impl Session {
    /// Room that [`answer`](Self::answer) needs, in bytes.
    pub const ANSWER_ROOM: usize = INITIATION_LEN;
    /// Room that [`tick`](Self::tick) needs. It must stay too small for an initiation.
    pub const TICK_ROOM: usize = TRANSPORT_OVERHEAD;

    pub fn new(
        private_key: StaticSecret,
        public_key: &[u8; 32],
        preshared_key: &[u8; 32],
        index: u32,
        limiter: Arc<RateLimiter>,
        now: Instant,
    ) -> Self {
        let peer = PublicKey::from(*public_key);
        Self {
            tunn: Tunn::new(
                private_key,
                peer,
                Some(*preshared_key),
                None,
                index,
                Some(limiter),
            ),
            index,
            state: State::HalfOpen { answered: now },
            owes_keepalive: None,
            errors: Allowance {
                left: 0,
                until: now,
            },
        }
    }

    /// Writes the answer to an initiation and gives its length; `None` if the initiation is
    /// replayed or not the peer's.
    pub fn answer(&mut self, initiation: &[u8], room: &mut [u8], now: Instant) -> Option<usize> {
        let TunnResult::WriteToNetwork(answer) = self.tunn.decapsulate(None, initiation, room)
        else {
            return None;
        };
        if let State::HalfOpen { answered } = &mut self.state {
            *answered = now;
        }
        self.owes_keepalive = None;
        Some(answer.len())
    }

    /// Opens a transport message into a room as long as itself; `None` unless it authenticates.
    pub fn receive(&mut self, message: &[u8], room: &mut [u8]) -> Option<Received> {
        match self.tunn.decapsulate(None, message, room) {
            TunnResult::Done => Some(Received::Keepalive),
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Some(Received::Packet(packet.len()))
            }
            // The outside was checked before, so this speaks of what was inside.
            TunnResult::Err(WireGuardError::InvalidPacket) => Some(Received::Malformed),
            TunnResult::Err(_) | TunnResult::WriteToNetwork(_) => None,
        }
    }

    /// Notes a transport packet that authenticated; whether the session came up by it.
    pub fn heard(&mut self, path: Path, now: Instant) -> bool {
        let came_up = !self.is_up();
        self.state = State::Up {
            endpoint: path,
            heard: now,
        };
        came_up
    }

    /// Notes that the last packet heard was data, which wants some answer.
    pub fn owe_answer(&mut self, now: Instant) {
        self.owes_keepalive.get_or_insert(now);
    }

    /// Seals a packet, or nothing for a keepalive, into a room that is `TRANSPORT_OVERHEAD` longer.
    /// Gives the length and the way; `None` if there is no session to send by.
    pub fn send(&mut self, packet: &[u8], room: &mut [u8]) -> Option<(Path, usize)> {
        let State::Up { endpoint, .. } = self.state else {
            return None;
        };
        // Tunn's only public way to say whether it has a session.
        self.tunn.time_since_last_handshake()?;
        let TunnResult::WriteToNetwork(datagram) = self.tunn.encapsulate(packet, room) else {
            return None;
        };
        self.owes_keepalive = None;
        Some((endpoint, datagram.len()))
    }

    /// Tells boringtun the time: expired session keys go. A keepalive that is due comes back.
    pub fn tick(&mut self, room: &mut [u8], now: Instant) -> Option<Path> {
        debug_assert!(room.len() < INITIATION_LEN);
        if let TunnResult::WriteToNetwork(_) = self.tunn.update_timers(room) {
            self.owes_keepalive = None;
            return self.endpoint();
        }
        self.owes_keepalive
            .filter(|&since| now >= since + KEEPALIVE_TIMEOUT)?;
        self.owes_keepalive = None;
        self.send(&[], room).map(|(path, _)| path)
    }

    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// Whether the peer has been silent for so long that nothing may be left of the session.
    pub fn is_over(&self, now: Instant) -> bool {
        match self.state {
            State::HalfOpen { answered } => now >= answered + REKEY_ATTEMPT_TIME,
            State::Up { heard, .. } => now >= heard + REJECT_AFTER_TIME,
        }
    }

    /// Whether one more ICMPv6 error may go to this peer; counts it.
    pub fn may_send_error(&mut self, now: Instant) -> bool {
        self.errors.take(now)
    }

    fn endpoint(&self) -> Option<Path> {
        match self.state {
            State::Up { endpoint, .. } => Some(endpoint),
            State::HalfOpen { .. } => None,
        }
    }
}

/// So many a second.
struct Allowance {
    left: u8,
    until: Instant,
}

impl Allowance {
    fn take(&mut self, now: Instant) -> bool {
        if now >= self.until {
            *self = Self {
                left: ERRORS_PER_SECOND,
                until: now + Duration::from_secs(1),
            };
        }
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        true
    }
}
