//! What one end has still to send on a stream: whole messages, on a fixed tick (rule 8 of
//! `crates/counter/PROTOCOL.md`).

use std::collections::VecDeque;
use std::time::Instant;

use crate::constants::{MESSAGE_FRAMES, MESSAGES_A_TICK, TICK};

/// The frames that wait for the next tick. At a node they are at most two for each session that
/// began or ended since the stream was last able to send: its +1 and its -1. At the service they
/// are a verdict for each ask that was read, of which its shell allows a number at a time.
pub(crate) struct SendQueue<F> {
    frames: VecDeque<F>,
    tick_at: Instant,
}

impl<F> SendQueue<F> {
    /// Its first tick is now.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            frames: VecDeque::new(),
            tick_at: now,
        }
    }

    pub(crate) fn push(&mut self, frame: F) {
        self.frames.push_back(frame);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// When the next tick is.
    pub(crate) fn timeout(&self) -> Instant {
        self.tick_at
    }

    /// How many ticks have passed since the last call. Ticks keep to their grid: what is late does
    /// not move the next one.
    pub(crate) fn take_ticks(&mut self, now: Instant) -> usize {
        let mut ticks = 0;
        while now >= self.tick_at {
            self.tick_at += TICK;
            ticks += 1;
        }
        ticks
    }

    /// The messages of one tick: as many as the frames need, one at least, and no more than
    /// [`MESSAGES_A_TICK`].
    pub(crate) fn take_messages(&mut self) -> Vec<Vec<F>> {
        let needed = self.frames.len().div_ceil(MESSAGE_FRAMES);
        let messages = (0..needed.clamp(1, MESSAGES_A_TICK))
            .map(|_| {
                let count = self.frames.len().min(MESSAGE_FRAMES);
                self.frames.drain(..count).collect()
            })
            .collect();
        if self.frames.is_empty() {
            // Frees its memory, too, which held tickets.
            self.frames = VecDeque::new();
        }
        messages
    }
}
