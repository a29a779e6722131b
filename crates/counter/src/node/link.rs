//! The connection's state and its clocks.

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
    /// `hello` is sent.
    Greeted {
        alive: Alive,
    },
    /// `welcome` has come.
    Open {
        alive: Alive,
    },
    /// Stays down.
    Replaced,
}

impl Link {
    pub fn greeted(now: Instant) -> Self {
        Self::Greeted {
            alive: Alive::new(now),
        }
    }

    pub fn open(&mut self) {
        if let Self::Greeted { alive } = *self {
            *self = Self::Open { alive };
        }
    }

    pub fn alive_mut(&mut self) -> Option<&mut Alive> {
        match self {
            Self::Greeted { alive } | Self::Open { alive } => Some(alive),
            Self::Down { .. } | Self::Dialing | Self::Replaced => None,
        }
    }

    pub fn timeout(&self) -> Option<Instant> {
        match self {
            Self::Down { dial_at } => Some(*dial_at),
            Self::Greeted { alive } | Self::Open { alive } => Some(alive.timeout()),
            Self::Dialing | Self::Replaced => None,
        }
    }
}

/// Paces attempts to connect.
#[derive(Default)]
pub(super) struct Pacer {
    failures: u32,
}

impl Pacer {
    /// The next pause: twice the one before up to the most, of which at least half.
    pub fn pause(&mut self, random: &mut ChaCha8Rng) -> Duration {
        let doubled = FIRST_BACK_OFF.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        let half = doubled.min(MAX_BACK_OFF) / 2;
        half + half * (random.next_u32() % 1_000) / 1_000
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}
