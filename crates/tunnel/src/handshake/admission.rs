//! Which initiations are admitted to a handshake: first MAC, limits, cookie.
//!
//! boringtun's [`RateLimiter`] checks the MACs, but it has one count for all sources, and both
//! `verify_packet` and `Tunn::decapsulate` add to it. So there are two of them here, and neither
//! is used to count: one whose limit is never reached checks the first MAC only, and one whose
//! limit is always reached checks the second and writes cookies. The counting is [`Limiter`]'s,
//! once for each handshake.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use boringtun::noise::TunnResult;
use boringtun::noise::rate_limiter::RateLimiter;
use rand_chacha::ChaCha20Rng;
use x25519_dalek::PublicKey;

use super::limiter::Limiter;
use crate::Refusal;
use crate::spec::INITIATION_LEN;

pub(crate) struct Admission {
    /// Never under load.
    mac1: Arc<RateLimiter>,
    /// Always under load.
    mac2: RateLimiter,
    limiter: Limiter,
}

/// Why an initiation was not admitted.
pub(crate) enum Denied {
    /// The sender has to prove its address: a cookie reply is at the start of the buffer.
    Cookie,
    Refused(Refusal),
}

impl Admission {
    pub(super) fn new(public_key: &PublicKey, random: ChaCha20Rng) -> Self {
        Self {
            mac1: Arc::new(RateLimiter::new(public_key, u64::MAX)),
            mac2: RateLimiter::new(public_key, 0),
            limiter: Limiter::new(random),
        }
    }

    /// The limiter that a Tunn has to be given. It repeats the check of the first MAC and never
    /// demands a cookie.
    pub(super) fn for_tunn(&self) -> Arc<RateLimiter> {
        Arc::clone(&self.mac1)
    }

    /// Admits an initiation and counts it.
    ///
    /// # Errors
    /// [`Mac1`](Refusal::Mac1) or [`OverLimit`](Refusal::OverLimit), or a cookie reply.
    pub(super) fn admit(
        &mut self,
        source: IpAddr,
        initiation: &[u8; INITIATION_LEN],
        reply: &mut [u8],
        now: Instant,
    ) -> Result<(), Denied> {
        if self.mac1.verify_packet(None, initiation, &mut []).is_err() {
            return Err(Denied::Refused(Refusal::Mac1));
        }
        if self.limiter.admit_unproven(source, now) {
            return Ok(());
        }
        match self
            .mac2
            .verify_packet(Some(source.to_canonical()), initiation, reply)
        {
            Ok(_) if self.limiter.admit_proven(source, now) => Ok(()),
            Ok(_) => Err(Denied::Refused(Refusal::OverLimit)),
            Err(TunnResult::WriteToNetwork(_)) => Err(Denied::Cookie),
            Err(_) => Err(Denied::Refused(Refusal::Mac1)),
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.limiter.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.limiter.handle_timeout(now);
    }
}
