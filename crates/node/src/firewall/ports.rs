//! Who has which ports of the node's addresses.
//!
//! ```text
//!      1 ...  1023   mostly listeners
//!   1024 ...  4095   connections of the node itself
//!   4096 ... 65535   customers' connections: the longest run without a listener
//! ```
//!
//! No port is in two of these, so that no customer can have a packet answered that was for the
//! node, nor send one that seems to come from it ("port shadowing": Mixon-Baca et al., Attacking
//! Connection Tracking Frameworks as used by Virtual Private Networks, PETS 2024).

use std::ops::RangeInclusive;

use crate::settings::Settings;

/// Source ports of the node's own connections.
pub const OWN: RangeInclusive<u16> = 1024..=4095;

/// Source ports of customers' TCP and UDP, on each of the addresses by which they leave.
pub(super) fn of_customers(settings: &Settings) -> RangeInclusive<u16> {
    let mut taken = vec![
        *OWN.end(),
        settings.wireguard.port.get(),
        settings.enrolment.port.get(),
        settings.operator.healthz.get_ref().port(),
    ];
    taken.retain(|port| port >= OWN.end());
    taken.sort_unstable();
    let ends = taken.iter().skip(1).map(|&next| next.saturating_sub(1));
    let runs = taken.iter().zip(ends.chain([u16::MAX]));
    let runs = runs.map(|(&before, end)| before.saturating_add(1)..=end);
    runs.max_by_key(ExactSizeIterator::len)
        .unwrap_or(4096..=u16::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(wireguard: u16, enrolment: u16, health: u16) -> RangeInclusive<u16> {
        let text = include_str!("../../example.toml")
            .replace("port = 51820", &format!("port = {wireguard}"))
            .replace("port = 443", &format!("port = {enrolment}"))
            .replace(":9180", &format!(":{health}"));
        of_customers(&Settings::parse("example.toml", &text).unwrap())
    }

    #[test]
    fn customers_have_the_longest_run_without_a_listener() {
        assert_eq!(with(51820, 443, 80), 4096..=51819);
        assert_eq!(with(51820, 443, 9180), 9181..=51819);
        assert_eq!(with(500, 443, 80), 4096..=65535);
        assert_eq!(with(4096, 65535, 4097), 4098..=65534);
        assert_eq!(with(33_001, 33_000, 33_002), 33_003..=65535);
        assert_eq!(with(65535, 443, 2000), 4096..=65534);
    }
}
