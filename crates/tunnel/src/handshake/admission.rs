//! Which initiations are admitted to a handshake, by the limits and by their second MAC. What is
//! counted is counted by [`Limiter`]: before an initiation is opened, and again when it is known
//! whose it is.

use std::net::IpAddr;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;

use super::identity::{Identity, Mac2};
use super::limiter::{Limiter, Proof};
use crate::Refusal;
use crate::spec::INITIATION_LEN;

pub(crate) struct Admission {
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
    pub(super) fn new(random: ChaCha20Rng, processors: u8) -> Self {
        Self {
            limiter: Limiter::new(random, processors),
        }
    }

    /// Admits an initiation to this identity, to be opened. Its first MAC is right.
    ///
    /// # Errors
    /// [`Mac1`](Refusal::Mac1) or [`OverLimit`](Refusal::OverLimit), or a cookie reply.
    pub(super) fn admit(
        &mut self,
        identity: &Identity,
        source: IpAddr,
        initiation: &[u8; INITIATION_LEN],
        reply: &mut [u8],
        now: Instant,
    ) -> Result<Admitted, Denied> {
        let admitted = |proof| Ok(Admitted { source, proof });
        if self.limiter.may_open(source, Proof::Unproven, now) {
            return admitted(Proof::Unproven);
        }
        match identity.check_mac2(source, initiation, reply) {
            Mac2::Right if self.limiter.may_open(source, Proof::Proven, now) => {
                admitted(Proof::Proven)
            }
            Mac2::Right => Err(Denied::Refused(Refusal::OverLimit)),
            Mac2::Missing => Err(Denied::Cookie),
            Mac2::Wrong => Err(Denied::Refused(Refusal::Mac1)),
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
