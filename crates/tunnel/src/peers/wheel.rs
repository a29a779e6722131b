//! Which live sessions are due for a tick.
//!
//! Every live session is ticked once a turn. The sessions sit on spokes that come up one
//! after the other, so that ten thousand of them never stand in the packets' way at once.
//! Idle peers are not on the wheel. It holds slot numbers only: nothing in it says when a
//! session began.

use std::time::{Duration, Instant};

const SPOKES: usize = 10;
const STEP: Duration = Duration::from_millis(100);
/// All that is due is due after many seconds: a keepalive after ten, the end after 180.
const TURN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Wheel {
    spokes: [Vec<u32>; SPOKES],
    /// The spoke that comes up next.
    next: usize,
    /// When it does; `None` while the wheel is empty.
    due: Option<Instant>,
}

/// The slots of a spoke that was lifted out of the wheel.
pub(crate) struct Spoke {
    at: usize,
    pub slots: Vec<u32>,
}

impl Wheel {
    /// Puts a slot where it comes up a whole turn from now.
    pub(crate) fn add(&mut self, slot: u32, now: Instant) {
        let last = (self.next + SPOKES - 1) % SPOKES;
        self.spokes[last].push(slot);
        self.due.get_or_insert(now + STEP);
    }

    /// Takes a slot off.
    pub(crate) fn remove(&mut self, slot: u32) {
        for spoke in &mut self.spokes {
            if let Some(at) = spoke.iter().position(|&other| other == slot) {
                spoke.swap_remove(at);
                return;
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Lifts out the spoke that is due, if one is. It must be [put back](Self::put_back).
    pub(crate) fn take(&mut self, now: Instant) -> Option<Spoke> {
        let due = self.due.filter(|&due| due <= now)?;
        // After a long pause one turn catches up with everything; more would tick in vain.
        let caught_up = now
            .checked_sub(TURN)
            .map_or(due, |earliest| due.max(earliest));
        self.due = Some(caught_up + STEP);
        let at = self.next;
        self.next = (at + 1) % SPOKES;
        Some(Spoke {
            at,
            slots: std::mem::take(&mut self.spokes[at]),
        })
    }

    /// Puts a spoke back with the slots that stay on it.
    pub(crate) fn put_back(&mut self, spoke: Spoke) {
        self.spokes[spoke.at] = spoke.slots;
        if self.spokes.iter().all(Vec::is_empty) {
            self.due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns the wheel and counts how often each slot came up.
    fn turn(wheel: &mut Wheel, until: Instant) -> Vec<u32> {
        let mut came = Vec::new();
        while let Some(spoke) = wheel.take(until) {
            came.extend(&spoke.slots);
            wheel.put_back(spoke);
        }
        came
    }

    #[test]
    fn every_slot_comes_up_once_a_turn() {
        let (mut wheel, mut now) = (Wheel::default(), Instant::now());
        for slot in 0..100 {
            wheel.add(slot, now);
            now += STEP / 3;
            turn(&mut wheel, now);
        }
        now = wheel.poll_timeout().unwrap();
        turn(&mut wheel, now);
        let mut came = Vec::new();
        for _ in 0..SPOKES {
            now += STEP;
            came.extend(turn(&mut wheel, now));
        }
        came.sort_unstable();
        assert_eq!(came, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn after_a_long_pause_every_slot_comes_up_about_once() {
        let (mut wheel, now) = (Wheel::default(), Instant::now());
        wheel.add(7, now);
        let came = turn(&mut wheel, now + TURN * 10_000);
        assert!((1..=2).contains(&came.len()), "{came:?}");
    }

    #[test]
    fn an_empty_wheel_wants_nothing() {
        let (mut wheel, now) = (Wheel::default(), Instant::now());
        assert_eq!(wheel.poll_timeout(), None);
        wheel.add(7, now);
        wheel.remove(7);
        turn(&mut wheel, now + STEP);
        assert_eq!(wheel.poll_timeout(), None);
    }
}
