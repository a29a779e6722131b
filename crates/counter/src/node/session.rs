//! One session, as the counter sees it. "Rule N" is rule N of `crates/counter/PROTOCOL.md`.

use std::time::{Duration, Instant};

use mayfly_wire::Ticket;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore as _;

use crate::constants::{RETRY, SILENCE_TOLD_WITHIN, TICK};

pub(super) struct Session {
    /// The session's place in the order of start.
    pub(super) started: u64,
    /// The ticket for the next ask.
    pub(super) ticket: Ticket,
    /// Whether the last verdict, on any stream, was a grant.
    pub(super) known_granted: bool,
    /// How it ended, if it is here only to be taken back: after its verdict, or at its time.
    pub(super) ended: Option<Ending>,
    pub(super) standing: Standing,
}

/// How a session ended.
#[derive(Clone, Copy)]
pub(super) enum Ending {
    /// On someone's word. Its -1 leaves at the next tick.
    Order,
    /// By silence. Its -1 leaves some ticks later, so that it does not tell when the session was
    /// last heard (rule 8).
    Silence,
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
    },
}

impl Session {
    pub(super) fn new(started: u64, ticket: Ticket) -> Self {
        Self {
            started,
            ticket,
            known_granted: false,
            ended: None,
            standing: Standing::Unreported,
        }
    }

    /// Marks the session as asked for, and returns the ticket for the ask.
    pub(super) fn ask(&mut self, now: Instant) -> Ticket {
        let first_denial = match self.standing {
            Standing::Denied { first } => Some(first),
            _ => None,
        };
        self.standing = Standing::Asked {
            ticket: self.ticket,
            sent: now,
            first_denial,
        };
        self.ticket
    }
}

/// Rule 6: a denied session is asked for again [`RETRY`] after its last ask, or a tick sooner or
/// later. `waited` is how long the verdict took. The answer is in ticks after the next one, which
/// is less than a tick away.
pub(super) fn retry_later(waited: Duration, random: &mut ChaCha8Rng) -> usize {
    let jitter = u64::from(random.next_u32() % 3);
    let ticks = RETRY.as_secs() / TICK.as_secs() + jitter;
    ticks.saturating_sub(2 + waited.as_secs() / TICK.as_secs()) as usize
}

/// Rule 8: how long the -1 of a session that fell silent waits, in ticks after the next one.
pub(super) fn silence_later(random: &mut ChaCha8Rng) -> usize {
    let ticks = SILENCE_TOLD_WITHIN.as_secs() / TICK.as_secs();
    (u64::from(random.next_u32()) % ticks) as usize
}
