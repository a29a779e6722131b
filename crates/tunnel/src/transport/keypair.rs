//! The keypair of one handshake: boringtun's state machine, kept from doing what a server must not.
//!
//! A [`Tunn`] is made to answer one initiation and lives as long as the keypair of that answer. It
//! is an initiator as much as a responder, has eight places for keypairs and its own idea of time.
//! Three limits on what it is given confine it to the part needed here: it gets one initiation; it
//! gets no packet to seal before it has opened one (it would queue the packet and start a
//! handshake); and it never gets the time, so the age limit of a keypair is decided here.

use std::sync::Arc;
use std::time::Instant;

use boringtun::noise::errors::WireGuardError;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::spec::{INITIATION_LEN, REJECT_AFTER_TIME, REKEY_TIMEOUT, RESPONSE_LEN};

pub(crate) struct Keypair {
    tunn: Tunn,
    /// The upper 24 bits of the receiver index that the peer was told.
    pub index: u32,
    created: Instant,
}

/// The content of a transport packet that authenticated.
#[derive(Clone, Copy)]
pub(crate) enum Opened {
    Keepalive,
    /// An inner packet of this many bytes, at the start of the room.
    Packet(usize),
    /// Something other than an IP packet.
    Malformed,
}

/// The keys that both ends of a handshake have before it.
pub(crate) struct StaticKeys<'a> {
    pub private_key: &'a StaticSecret,
    pub public_key: &'a [u8; 32],
    pub preshared_key: &'a [u8; 32],
}

impl Keypair {
    /// Answers an initiation; `None` if it is not the peer's. `limiter` must limit nothing.
    pub(crate) fn respond(
        static_keys: StaticKeys<'_>,
        index: u32,
        limiter: Arc<RateLimiter>,
        initiation: &[u8; INITIATION_LEN],
        now: Instant,
    ) -> Option<(Box<Self>, [u8; RESPONSE_LEN])> {
        let mut keypair = Box::new(Self {
            tunn: Tunn::new(
                static_keys.private_key.clone(),
                PublicKey::from(*static_keys.public_key),
                Some(*static_keys.preshared_key),
                None,
                index,
                Some(limiter),
            ),
            index,
            created: now,
        });
        let mut room = [0; RESPONSE_LEN];
        let TunnResult::WriteToNetwork(_) = keypair.tunn.decapsulate(None, initiation, &mut room)
        else {
            return None;
        };
        Some((keypair, room))
    }

    /// Opens a transport message into a room of its own length; `None` unless it authenticates.
    pub(crate) fn open(&mut self, message: &[u8], room: &mut [u8], now: Instant) -> Option<Opened> {
        if self.is_expired(now) {
            return None;
        }
        match self.tunn.decapsulate(None, message, room) {
            TunnResult::Done => Some(Opened::Keepalive),
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Some(Opened::Packet(packet.len()))
            }
            // The outside was checked before, so this error is about the content.
            TunnResult::Err(WireGuardError::InvalidPacket) => Some(Opened::Malformed),
            TunnResult::Err(_) | TunnResult::WriteToNetwork(_) => None,
        }
    }

    /// Seals a packet, or nothing for a keepalive, into a room that is `TRANSPORT_OVERHEAD`
    /// longer, and returns the length. This keypair must have opened a message before.
    pub(crate) fn seal(&mut self, packet: &[u8], room: &mut [u8], now: Instant) -> Option<usize> {
        if self.is_expired(now) {
            return None;
        }
        match self.tunn.encapsulate(packet, room) {
            TunnResult::WriteToNetwork(datagram) => Some(datagram.len()),
            _ => None,
        }
    }

    /// Whether it may no longer open or seal.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        now >= self.created + REJECT_AFTER_TIME
    }

    /// Whether the initiator should have confirmed it by a packet long ago. An initiator that gets
    /// the response uses the keypair at once, and one that does not starts a new handshake; the
    /// initiation may also have been a recorded one.
    pub(crate) fn confirmation_timed_out(&self, now: Instant) -> bool {
        now >= self.created + 2 * REKEY_TIMEOUT
    }
}
