//! How long a guest may take for something, from the time that it took to boot on this machine.
//!
//! The limits in the sources are those of a guest that runs on the processor itself, on a machine
//! with no other work. An emulated guest takes several times as long for everything, and longer
//! still on a machine with other work. A long limit costs nothing where all goes well: it is only
//! the time after which an experiment is given up.

use std::time::Duration;

/// A third of the time from QEMU's start until the node takes clients, emulated and with no other
/// work: each limit is multiplied by three then, since other work may come later than the boot.
const BOOT: Duration = Duration::from_secs(1);
/// The most. A guest that is slower than that is broken, and a longer wait does not help.
const MOST: f64 = 20.0;

/// By how much each limit is multiplied.
#[derive(Debug, Clone, Copy)]
pub struct Patience(f64);

impl Patience {
    /// The patience with a guest that took `boot` from QEMU's start until its node took clients.
    pub fn after(boot: Duration) -> Self {
        Self(boot.div_duration_f64(BOOT).clamp(1.0, MOST))
    }

    /// A limit, for this guest.
    pub fn of(self, limit: Duration) -> Duration {
        limit.mul_f64(self.0)
    }

    /// How often to try something, for this guest.
    pub fn tries(self, times: u32) -> u32 {
        // At most 20 times a small number.
        (f64::from(times) * self.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_guest_is_given_more_time_and_a_fast_one_no_less_than_written() {
        let limit = Duration::from_secs(10);
        assert_eq!(Patience::after(BOOT / 2).of(limit), limit);
        assert_eq!(Patience::after(BOOT * 8).of(limit), limit * 8);
        assert_eq!(Patience::after(BOOT * 1000).of(limit), limit * 20);
        assert_eq!(Patience::after(BOOT * 2).tries(6), 12);
    }
}
