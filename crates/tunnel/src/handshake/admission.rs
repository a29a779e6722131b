//! Which initiations are admitted to a handshake: first MAC, limits, cookie.
//!
//! boringtun's [`RateLimiter`] checks the MACs, but it has one count for all sources, and both
//! `verify_packet` and `Tunn::decapsulate` add to it. So there are two of them here, and neither
//! is used to count: one whose limit is never reached checks the first MAC only, and one whose
//! limit is always reached checks the second and writes cookies. The counting is [`Limiter`]'s:
//! before an initiation is opened, and again when it is known whose it is.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use boringtun::noise::TunnResult;
use boringtun::noise::rate_limiter::RateLimiter;
use rand_chacha::ChaCha20Rng;
use x25519_dalek::PublicKey;

use super::limiter::{Limiter, Proof};
use crate::Refusal;
use crate::spec::INITIATION_LEN;

pub(crate) struct Admission {
    /// Never under load.
    mac1: Arc<RateLimiter>,
    /// Always under load.
    mac2: RateLimiter,
    limiter: Limiter,
}

/// An initiation that may be opened. It ends in an [answer](Admission::admit_answer) or as
/// [junk](Admission::bill_junk).
#[derive(Clone, Copy)]
pub(crate) struct Admitted {
    source: IpAddr,
    proof: Proof,
}

/// Why an initiation was not admitted.
pub(crate) enum Denied {
    /// The sender has to prove its address: a cookie reply is at the start of the buffer.
    Cookie,
    Refused(Refusal),
}

impl Admission {
    pub(super) fn new(public_key: &PublicKey, random: ChaCha20Rng, processors: u8) -> Self {
        Self {
            mac1: Arc::new(RateLimiter::new(public_key, u64::MAX)),
            mac2: RateLimiter::new(public_key, 0),
            limiter: Limiter::new(random, processors),
        }
    }

    /// The limiter that a Tunn has to be given. It repeats the check of the first MAC and never
    /// demands a cookie.
    pub(super) fn for_tunn(&self) -> Arc<RateLimiter> {
        Arc::clone(&self.mac1)
    }

    /// Admits an initiation, to be opened.
    ///
    /// # Errors
    /// [`Mac1`](Refusal::Mac1) or [`OverLimit`](Refusal::OverLimit), or a cookie reply.
    pub(super) fn admit(
        &mut self,
        source: IpAddr,
        initiation: &[u8; INITIATION_LEN],
        reply: &mut [u8],
        now: Instant,
    ) -> Result<Admitted, Denied> {
        if self.mac1.verify_packet(None, initiation, &mut []).is_err() {
            return Err(Denied::Refused(Refusal::Mac1));
        }
        let admitted = |proof| Ok(Admitted { source, proof });
        if self.limiter.may_open(source, Proof::Unproven, now) {
            return admitted(Proof::Unproven);
        }
        match self
            .mac2
            .verify_packet(Some(source.to_canonical()), initiation, reply)
        {
            Ok(_) if self.limiter.may_open(source, Proof::Proven, now) => admitted(Proof::Proven),
            Ok(_) => Err(Denied::Refused(Refusal::OverLimit)),
            Err(TunnResult::WriteToNetwork(_)) => Err(Denied::Cookie),
            Err(_) => Err(Denied::Refused(Refusal::Mac1)),
        }
    }

    /// Admits the answer to an initiation by the holder of an enrolled key.
    ///
    /// # Errors
    /// [`OverLimit`](Refusal::OverLimit).
    pub(super) fn admit_answer(
        &mut self,
        admitted: Admitted,
        key: &[u8; 32],
        is_live: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let taken = self.limiter.take_answer(admitted.source, key, is_live, now);
        taken.then_some(()).ok_or(Refusal::OverLimit)
    }

    /// Bills an initiation that was opened and gets no answer.
    pub(super) fn bill_junk(&mut self, admitted: Admitted, now: Instant) {
        let Admitted { source, proof } = admitted;
        self.limiter.bill_junk(source, proof, now);
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.limiter.poll_timeout()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.limiter.handle_timeout(now);
    }
}
