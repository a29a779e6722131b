//! One session, as the counter sees it.

use std::time::{Duration, Instant};

use mayfly_wire::Ticket;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore as _;

use crate::constants::RETRY;

pub(super) struct Session {
    /// Its place in the order of start.
    pub started: u64,
    /// For the next ask.
    pub ticket: Ticket,
    /// Whether the last verdict, on whatever stream, was a grant.
    pub known_granted: bool,
    /// It ended while its verdict was pending.
    pub ended: bool,
    pub standing: Standing,
}

/// Where a session stands on the present stream.
#[derive(Clone, Copy)]
pub(super) enum Standing {
    Unreported,
    Asked {
        ticket: Ticket,
        sent: Instant,
        /// The first denial since the last grant.
        first_denial: Option<Instant>,
    },
    Granted {
        ticket: Ticket,
    },
    Denied {
        first: Instant,
        retry_at: Instant,
    },
}

impl Session {
    pub fn new(started: u64, ticket: Ticket) -> Self {
        Self {
            started,
            ticket,
            known_granted: false,
            ended: false,
            standing: Standing::Unreported,
        }
    }

    /// Marks it as asked for, with the ticket that is returned.
    pub fn ask(&mut self, now: Instant) -> Ticket {
        let first_denial = match self.standing {
            Standing::Denied { first, .. } => Some(first),
            _ => None,
        };
        self.standing = Standing::Asked {
            ticket: self.ticket,
            sent: now,
            first_denial,
        };
        self.ticket
    }

    pub fn retry_at(&self) -> Option<Instant> {
        match self.standing {
            Standing::Denied { retry_at, .. } => Some(retry_at),
            _ => None,
        }
    }
}

/// Rule 6's 10 s, up to a tenth more or less.
pub(super) fn pause(random: &mut ChaCha8Rng) -> Duration {
    let tenth = RETRY / 10;
    let share = random.next_u32() % 2_000;
    RETRY - tenth + tenth * share / 1_000
}
