//! Which enrolment gives way to a new one when its pool is full.
//!
//! A token enrols a key and asks for no connection, so one customer could fill a pool and never
//! come. Those who never came go first, and lose the least. The order is:
//!
//! 1. who has never connected, and was enrolled before this minute and the last: the longest idle;
//! 2. of those enrolled since, the first, if they are more than an eighth of the pool;
//! 3. who has connected, but not within the last hour;
//! 4. of those enrolled since, the first.
//!
//! An enrolment with a session never gives way, and neither does one that had a session within the
//! hour. By rule 2 a customer who enrols again and again takes an eighth of the pool at most from
//! those who are away. By rules 1 and 4 a new client has time to connect.

use std::mem;

use super::pools::Class;
use super::{Enrolment, EnrolmentId, Registry};

/// The share of a pool that new enrolments have before others give way to them: one in so many.
const SHARE: usize = 8;

/// The enrolments of this minute and the one before, in their order, and no time. Some have ended.
/// At 2,000 handshakes a second they are 240,000 numbers at most.
#[derive(Default)]
pub(super) struct Newcomers {
    before: Vec<EnrolmentId>,
    present: Vec<EnrolmentId>,
}

impl Newcomers {
    pub(super) fn add(&mut self, id: EnrolmentId) {
        self.present.push(id);
    }

    /// A minute has passed. Returns who is no longer new.
    pub(super) fn handle_minute(&mut self) -> Vec<EnrolmentId> {
        mem::replace(&mut self.before, mem::take(&mut self.present))
    }

    fn iter(&self) -> impl Iterator<Item = EnrolmentId> {
        self.before.iter().chain(&self.present).copied()
    }
}

impl Registry {
    /// The enrolment that gives way to a client of the class, if one does. It looks through all of
    /// them: the pool is full then, and a token is behind each call.
    pub(super) fn gives_way(&self, class: Class) -> Option<EnrolmentId> {
        let may =
            |enrolment: &Enrolment| enrolment.session.is_none() && enrolment.class.covers(class);
        let mut waiting = 0;
        let mut never: Option<(u8, EnrolmentId)> = None;
        let mut away = None;
        for (&id, enrolment) in &self.enrolments {
            let idleness = enrolment.idleness;
            match (may(enrolment), idleness.has_never_connected()) {
                (true, true) if enrolment.is_new => waiting += 1,
                (true, true) if never.is_none_or(|(hours, _)| hours < idleness.hours()) => {
                    never = Some((idleness.hours(), id));
                }
                (true, false) if idleness.is_long() => away = Some(id),
                _ => {}
            }
        }
        let is_waiting = |id: &EnrolmentId| {
            let enrolment = self.enrolments.get(id);
            enrolment.is_some_and(|own| may(own) && own.idleness.has_never_connected())
        };
        let first = || self.newcomers.iter().find(is_waiting);
        if let Some((_, id)) = never {
            return Some(id);
        }
        if waiting > self.pools.size(class) / SHARE {
            return first();
        }
        away.or_else(first)
    }
}
