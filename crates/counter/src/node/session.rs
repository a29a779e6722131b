//! One session, as the counter sees it. "Rule N" is rule N of `crates/counter/PROTOCOL.md`.

use std::time::{Duration, Instant};

use mayfly_wire::Ticket;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore as _;

use crate::constants::RETRY;

pub(super) struct Session {
    /// The session's place in the order of start.
    pub(super) started: u64,
    /// The ticket for the next ask.
    pub(super) ticket: Ticket,
    /// Whether the last verdict, on any stream, was a grant.
    pub(super) known_granted: bool,
    /// Whether it ended while its verdict was pending.
    pub(super) ended: bool,
    pub(super) standing: Standing,
}

/// What the current stream knows of a session.
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
    pub(super) fn new(started: u64, ticket: Ticket) -> Self {
        Self {
            started,
            ticket,
            known_granted: false,
            ended: false,
            standing: Standing::Unreported,
        }
    }

    /// Marks the session as asked for, and returns the ticket for the ask.
    pub(super) fn ask(&mut self, now: Instant) -> Ticket {
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

    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self.standing {
            Standing::Denied { retry_at, .. } => Some(retry_at),
            _ => None,
        }
    }
}

/// Rule 6: [`RETRY`], up to a tenth more or less.
pub(super) fn retry_pause(random: &mut ChaCha8Rng) -> Duration {
    let tenth = RETRY / 10;
    let share = random.next_u32() % 2_000;
    RETRY - tenth + tenth * share / 1_000
}
