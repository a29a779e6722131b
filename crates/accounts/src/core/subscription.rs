//! How long a subscription lasts.

use crate::core::clock;
use crate::core::record::Moment;

/// The end of a subscription that gets `days` more. They count from its present end, or from now
/// if that has passed. Ends are whole hours, like the ends of tokens, so that a token can last as
/// long as the subscription.
pub(crate) fn extended(end: Option<Moment>, days: u32, now: u64) -> Moment {
    let from = end.map_or(now, |end| end.0.max(now));
    let seconds = u64::from(days) * clock::DAY;
    Moment(clock::ceil_hour(from.saturating_add(seconds)).min(clock::LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_subscription_is_extended_from_its_end_and_an_ended_one_from_now() {
        let now = 100 * clock::DAY + 5;
        let running = Moment(120 * clock::DAY);
        assert_eq!(extended(Some(running), 10, now).0, 130 * clock::DAY);
        let ended = Moment(90 * clock::DAY);
        for end in [Some(ended), None] {
            assert_eq!(extended(end, 10, now).0, 110 * clock::DAY + clock::HOUR);
        }
    }

    #[test]
    fn no_end_is_later_than_can_be_written() {
        let end = extended(Some(Moment(clock::LATEST)), u32::MAX, 0);
        assert_eq!(clock::rfc3339(end.0).unwrap(), "9999-12-31T23:00:00Z");
    }
}
