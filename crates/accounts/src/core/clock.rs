//! Time as the account record stores it: seconds since 1970, UTC.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Seconds in an hour.
pub const HOUR: u64 = 3600;
/// Seconds in a day.
pub const DAY: u64 = 24 * HOUR;

/// The last whole hour that RFC 3339 can write. It is in the year 9999.
pub(crate) const LATEST: u64 = 253_402_297_200;

/// The wall clock, in seconds since 1970.
pub fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The start of the hour that contains `seconds`.
pub(crate) const fn floor_hour(seconds: u64) -> u64 {
    seconds - seconds % HOUR
}

/// The first whole hour at or after `seconds`.
pub const fn ceil_hour(seconds: u64) -> u64 {
    floor_hour(seconds.saturating_add(HOUR - 1))
}

/// `seconds` in RFC 3339. `None` after the year 9999.
pub(crate) fn rfc3339(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok()?;
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok()?;
    moment.format(&Rfc3339).ok()
}

/// Parses what [`rfc3339`] writes. `None` for other texts and for times before 1970.
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(moment.unix_timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_hour_is_its_own_floor_and_ceiling() {
        assert_eq!((floor_hour(7200), ceil_hour(7200)), (7200, 7200));
        assert_eq!((floor_hour(7201), ceil_hour(7201)), (7200, 10_800));
    }

    #[test]
    fn a_time_survives_its_text() {
        let text = rfc3339(1_795_478_400).unwrap();
        assert_eq!(text, "2026-11-24T00:00:00Z");
        assert_eq!(parse_rfc3339(&text), Some(1_795_478_400));
    }
}
