//! The connection's state, and the clock of its attempts.

use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_core::RngCore as _;

use crate::alive::Alive;
use crate::constants::{FIRST_BACK_OFF, MAX_BACK_OFF};

pub(super) enum Link {
    Down {
        dial_at: Instant,
    },
    Dialing,
    /// `hello` has been sent.
    Greeted {
        alive: Alive,
    },
    /// `welcome` has come.
    Open {
        alive: Alive,
    },
    /// Another machine has this node's identity. The link stays down (rule 4).
    Replaced,
}

impl Link {
    pub(super) fn greeted(now: Instant) -> Self {
        Self::Greeted {
            alive: Alive::new(now),
        }
    }

    pub(super) fn open(&mut self) {
        if let Self::Greeted { alive } = *self {
            *self = Self::Open { alive };
        }
    }

    pub(super) fn alive_mut(&mut self) -> Option<&mut Alive> {
        match self {
            Self::Greeted { alive } | Self::Open { alive } => Some(alive),
            Self::Down { .. } | Self::Dialing | Self::Replaced => None,
        }
    }

    pub(super) fn timeout(&self) -> Option<Instant> {
        match self {
            Self::Down { dial_at } => Some(*dial_at),
            Self::Greeted { alive } | Self::Open { alive } => Some(alive.timeout()),
            Self::Dialing | Self::Replaced => None,
        }
    }
}

/// Paces the attempts to connect (rule 4).
#[derive(Default)]
pub(super) struct Pacer {
    failures: u32,
}

impl Pacer {
    /// The next pause. Its limit doubles with each failure, up to [`MAX_BACK_OFF`]. The pause is
    /// drawn between half of the limit and the limit.
    pub(super) fn pause(&mut self, random: &mut ChaCha8Rng) -> Duration {
        let doubled = FIRST_BACK_OFF.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        let half = doubled.min(MAX_BACK_OFF) / 2;
        half + half * (random.next_u32() % 1_000) / 1_000
    }

    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}
