//! The keys of one handshake: boringtun's state machine, kept from doing what a server must not.
//!
//! A [`Tunn`] is made to answer one initiation and lives as long as the keys of that answer. It is
//! an initiator as much as a responder, has eight places for keys and its own idea of time. It is
//! held to the part wanted here by what it is given: one initiation, never a packet to seal before
//! it has opened one (it would queue the packet and start a handshake), and never the time: how
//! old keys may get is decided here.

use std::sync::Arc;
use std::time::Instant;

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::spec::{INITIATION_LEN, REJECT_AFTER_TIME, REKEY_TIMEOUT, RESPONSE_LEN};

pub(crate) struct Keys {
    tunn: Tunn,
    /// The upper 24 bits of the receiver index that the peer was told.
    pub index: u32,
    answered: Instant,
}

/// What a transport packet held that authenticated.
pub(crate) enum Received {
    Keepalive,
    /// An inner packet of so many bytes at the start of the room.
    Packet(usize),
    /// Something that is no IP packet.
    Malformed,
}

/// The two ends of a handshake.
pub(crate) struct Parties<'a> {
    pub private_key: &'a StaticSecret,
    pub public_key: &'a [u8; 32],
    pub preshared_key: &'a [u8; 32],
}

impl Keys {
    /// Answers an initiation; `None` if it is not the peer's. `limiter` must limit nothing.
    pub fn answer(
        parties: Parties<'_>,
        index: u32,
        limiter: Arc<RateLimiter>,
        initiation: &[u8; INITIATION_LEN],
        now: Instant,
    ) -> Option<(Box<Self>, [u8; RESPONSE_LEN])> {
        let mut keys = Box::new(Self {
            tunn: Tunn::new(
                parties.private_key.clone(),
                PublicKey::from(*parties.public_key),
                Some(*parties.preshared_key),
                None,
                index,
                Some(limiter),
            ),
            index,
            answered: now,
        });
        let mut room = [0; RESPONSE_LEN];
        let TunnResult::WriteToNetwork(_) = keys.tunn.decapsulate(None, initiation, &mut room)
        else {
            return None;
        };
        Some((keys, room))
    }

    /// Opens a transport message into a room as long as itself; `None` unless it authenticates.
    pub fn open(&mut self, message: &[u8], room: &mut [u8], now: Instant) -> Option<Received> {
        if self.are_over(now) {
            return None;
        }
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

    /// Seals a packet, or nothing for a keepalive, into a room that is `TRANSPORT_OVERHEAD`
    /// longer, and gives the length. These keys must have opened a message before.
    pub fn seal(&mut self, packet: &[u8], room: &mut [u8], now: Instant) -> Option<usize> {
        if self.are_over(now) {
            return None;
        }
        match self.tunn.encapsulate(packet, room) {
            TunnResult::WriteToNetwork(datagram) => Some(datagram.len()),
            _ => None,
        }
    }

    /// Whether they may neither open nor seal any more.
    pub fn are_over(&self, now: Instant) -> bool {
        now >= self.answered + REJECT_AFTER_TIME
    }

    /// Whether the initiator has long begun anew, if it was the initiator and not a recording:
    /// who hears the answer uses the keys at once.
    pub fn came_to_nothing(&self, now: Instant) -> bool {
        now >= self.answered + 2 * REKEY_TIMEOUT
    }
}
