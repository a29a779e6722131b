//! The node's static keys.
//!
//! Whoever has a static key and recordings can open the initiator's key in every recorded
//! initiation to it (paper, section 5.4.2: identity hiding is not forward secret). So a node changes
//! its key. The newest is for new enrolments and renewals. Those before it still answer for as long
//! as an enrolment may last that was given them, and are then destroyed. The first MAC of an
//! initiation tells which one it is for.
//!
//! boringtun's [`RateLimiter`] checks the MACs, but it has one count for all sources, and both
//! `verify_packet` and `Tunn::decapsulate` add to it. So there are two of them for each key, and
//! neither is used to count: one whose limit is never reached checks the first MAC only, and one
//! whose limit is always reached checks the second and writes cookies. The counting is
//! [`Limiter`](super::limiter::Limiter)'s.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use boringtun::noise::TunnResult;
use boringtun::noise::rate_limiter::RateLimiter;
use x25519_dalek::{PublicKey, StaticSecret};

use super::initiation::InitiationReader;
use crate::spec::INITIATION_LEN;

/// How long a key answers after another has taken its place: an enrolment lasts 36 hours at most.
const LONGEST_ENROLMENT: Duration = Duration::from_secs(36 * 3_600);

/// One static key of the node, with what checks and opens initiations to it.
pub(crate) struct Identity {
    pub number: IdentityNumber,
    pub private_key: StaticSecret,
    pub public_key: PublicKey,
    pub reader: InitiationReader,
    /// Never under load.
    mac1: Arc<RateLimiter>,
    /// Always under load.
    mac2: RateLimiter,
    /// When it is destroyed; `None` while it is the newest.
    until: Option<Instant>,
}

/// Names a static key of the node, from the first on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IdentityNumber(u32);

/// Whether the second MAC of an initiation shows that the sender has our cookie.
pub(crate) enum Mac2 {
    Right,
    Wrong,
    /// There is none. A cookie reply is at the start of the buffer.
    Missing,
}

impl Identity {
    fn new(private_key: StaticSecret, number: IdentityNumber) -> Self {
        let public_key = PublicKey::from(&private_key);
        Self {
            number,
            reader: InitiationReader::new(private_key.clone()),
            mac1: Arc::new(RateLimiter::new(&public_key, u64::MAX)),
            mac2: RateLimiter::new(&public_key, 0),
            private_key,
            public_key,
            until: None,
        }
    }

    /// The limiter that a Tunn has to be given. It repeats the check of the first MAC and never
    /// demands a cookie.
    pub(crate) fn for_tunn(&self) -> Arc<RateLimiter> {
        Arc::clone(&self.mac1)
    }

    pub(crate) fn check_mac2(
        &self,
        source: IpAddr,
        initiation: &[u8; INITIATION_LEN],
        reply: &mut [u8],
    ) -> Mac2 {
        let source = Some(source.to_canonical());
        match self.mac2.verify_packet(source, initiation, reply) {
            Ok(_) => Mac2::Right,
            Err(TunnResult::WriteToNetwork(_)) => Mac2::Missing,
            Err(_) => Mac2::Wrong,
        }
    }

    fn has_mac1_of(&self, initiation: &[u8; INITIATION_LEN]) -> bool {
        self.mac1.verify_packet(None, initiation, &mut []).is_ok()
    }
}

/// The keys that answer, the newest last. With a new one each day they are three, unless the caller
/// does not retire them.
#[allow(
    clippy::vec_box,
    reason = "a place of a list that a key has left is not zeroed, and freed memory is"
)]
pub(crate) struct Identities(Vec<Box<Identity>>);

impl Identities {
    pub(crate) fn new(private_key: StaticSecret) -> Self {
        Self(vec![Box::new(Identity::new(
            private_key,
            IdentityNumber(0),
        ))])
    }

    /// Takes a key as the newest.
    pub(crate) fn add(&mut self, private_key: StaticSecret, now: Instant) {
        let before = self.0.last_mut();
        let number = before.map_or(0, |before| {
            before.until = Some(now + LONGEST_ENROLMENT);
            before.number.0 + 1
        });
        let identity = Identity::new(private_key, IdentityNumber(number));
        self.0.push(Box::new(identity));
    }

    /// Destroys one key whose time has come, and returns its number.
    pub(crate) fn retire(&mut self, now: Instant) -> Option<IdentityNumber> {
        let mut ends = self.0.iter().map(|identity| identity.until);
        let at = ends.position(|until| until.is_some_and(|until| until <= now))?;
        Some(self.0.remove(at).number)
    }

    /// The key that an initiation is for, by its first MAC.
    pub(crate) fn of(&self, initiation: &[u8; INITIATION_LEN]) -> Option<&Identity> {
        // The newest first: most enrolments have been renewed.
        let mut identities = self.0.iter().rev().map(AsRef::as_ref);
        identities.find(|identity: &&Identity| identity.has_mac1_of(initiation))
    }

    /// Whether one of the keys has this public key.
    pub(crate) fn have(&self, public_key: &[u8; 32]) -> bool {
        let mut identities = self.0.iter();
        identities.any(|identity| identity.public_key.as_bytes() == public_key)
    }
}
