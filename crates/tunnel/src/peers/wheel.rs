//! Which live sessions are due for a tick.
//!
//! Every live session is ticked once a turn. The sessions are on spokes, which come up one after
//! another, so that ten thousand sessions never delay the packets all at once. A slot whose session
//! has ended is taken off when its spoke comes up, not before: to look for it would take as long as
//! there are sessions, and thousands may end at once. The wheel holds slot numbers only: nothing in
//! it says when a session began.

use std::time::{Duration, Instant};

const SPOKES: usize = 10;
const STEP: Duration = Duration::from_millis(100);
/// A turn may be this long because nothing is due within seconds: a keepalive is due after ten, the
/// end of a session after 180.
const TURN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(crate) struct Wheel {
    spokes: [Vec<u32>; SPOKES],
    /// Which slots are on it. As long as the table of peers, at most.
    is_on: Vec<bool>,
    /// The spoke that comes up next.
    next: usize,
    /// When it comes up; `None` while the wheel is empty.
    due: Option<Instant>,
}

/// The slots of a spoke that was taken out of the wheel.
pub(crate) struct Spoke {
    at: usize,
    pub slots: Vec<u32>,
}

impl Wheel {
    /// Adds a slot. It first comes up a whole turn from now, or earlier if it is still on the wheel
    /// for a session that has ended.
    pub(crate) fn add(&mut self, slot: u32, now: Instant) {
        let at = slot as usize;
        if self.is_on.len() <= at {
            self.is_on.resize(at + 1, false);
        }
        if std::mem::replace(&mut self.is_on[at], true) {
            return;
        }
        let last = (self.next + SPOKES - 1) % SPOKES;
        self.spokes[last].push(slot);
        self.due.get_or_insert(now + STEP);
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Takes out the spoke that is due, if there is one. Each of its slots that has no session must
    /// be [taken off](Self::take_off), and the spoke must be [put back](Self::put_back) with the
    /// others.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Spoke> {
        let due = self.due.filter(|&due| due <= now)?;
        // After a long pause one turn catches up with everything. More turns would find nothing to
        // do.
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

    /// Notes that a slot is on no spoke.
    pub(crate) fn take_off(&mut self, slot: u32) {
        if let Some(is_on) = self.is_on.get_mut(slot as usize) {
            *is_on = false;
        }
    }

    /// Puts a spoke back, with the slots that stay on it.
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

    /// Turns the wheel and returns each slot as often as it came up.
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
    fn a_slot_that_is_added_again_before_it_came_up_is_there_once() {
        let (mut wheel, now) = (Wheel::default(), Instant::now());
        wheel.add(7, now);
        wheel.add(7, now + STEP);
        assert_eq!(turn(&mut wheel, now + TURN), [7]);
    }

    #[test]
    fn an_empty_wheel_wants_nothing() {
        let (mut wheel, now) = (Wheel::default(), Instant::now());
        assert_eq!(wheel.poll_timeout(), None);
        wheel.add(7, now);
        while let Some(mut spoke) = wheel.take(now + TURN) {
            spoke.slots.iter().for_each(|&slot| wheel.take_off(slot));
            spoke.slots.clear();
            wheel.put_back(spoke);
        }
        assert_eq!(wheel.poll_timeout(), None);
        wheel.add(7, now + TURN);
        assert_eq!(turn(&mut wheel, now + 2 * TURN), [7]);
    }
}
