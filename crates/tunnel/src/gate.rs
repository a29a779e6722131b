//! What stands before a handshake: first MAC, limits, cookie.
//!
//! boringtun's [`RateLimiter`] knows the MACs, but its count is one for all sources, and each
//! of `verify_packet` and `Tunn::decapsulate` adds to it. So we take two of them, neither of
//! which counts to anything: one whose limit is never reached checks the first MAC only, one
//! whose limit is always reached checks the second and writes cookies. The counting is
//! [`Limiter`]'s, once for each handshake.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use boringtun::noise::TunnResult;
use boringtun::noise::rate_limiter::RateLimiter;
use rand_chacha::ChaCha20Rng;
use x25519_dalek::PublicKey;

use crate::Refusal;
use crate::limiter::Limiter;
use crate::spec::INITIATION_LEN;

pub(crate) struct Gate {
    /// Never under load.
    mac1: Arc<RateLimiter>,
    /// Always under load.
    mac2: RateLimiter,
    limiter: Limiter,
}

/// Why an initiation was stopped.
pub(crate) enum Stopped {
    /// A cookie reply stands at the start of the buffer.
    Cookie,
    Refused(Refusal),
}

impl Gate {
    pub fn new(public_key: &PublicKey, random: ChaCha20Rng) -> Self {
        Self {
            mac1: Arc::new(RateLimiter::new(public_key, u64::MAX)),
            mac2: RateLimiter::new(public_key, 0),
            limiter: Limiter::new(random),
        }
    }

    /// The limiter for a Tunn, which cannot do without: it repeats the check of the first MAC
    /// and never demands a cookie.
    pub fn for_tunn(&self) -> Arc<RateLimiter> {
        Arc::clone(&self.mac1)
    }

    /// Lets an initiation in, counted, or says why not.
    pub fn admit(
        &mut self,
        source: IpAddr,
        initiation: &[u8; INITIATION_LEN],
        reply: &mut [u8],
        now: Instant,
    ) -> Result<(), Stopped> {
        if self.mac1.verify_packet(None, initiation, &mut []).is_err() {
            return Err(Stopped::Refused(Refusal::Mac1));
        }
        if self.limiter.admit_unproven(source, now) {
            return Ok(());
        }
        match self
            .mac2
            .verify_packet(Some(source.to_canonical()), initiation, reply)
        {
            Ok(_) if self.limiter.admit_proven(source, now) => Ok(()),
            Ok(_) => Err(Stopped::Refused(Refusal::OverLimit)),
            Err(TunnResult::WriteToNetwork(_)) => Err(Stopped::Cookie),
            Err(_) => Err(Stopped::Refused(Refusal::Mac1)),
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.limiter.poll_timeout()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.limiter.handle_timeout(now);
    }
}
