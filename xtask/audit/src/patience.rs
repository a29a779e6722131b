//! How long a guest may take for something: by what it took to boot on this machine.
//!
//! Limits are written for a guest that the processor itself runs, on a machine with nothing else
//! to do. An emulated guest takes several times as long for everything, and more still on a
//! machine with other work. A limit that is long costs nothing where all goes well: it is only
//! the time after which an experiment is given up.

use std::time::Duration;

/// What a guest takes from QEMU's start until its node takes clients, where limits hold as they
/// are written: KVM, nothing else to do.
const BOOT: Duration = Duration::from_secs(3);
/// More than this helps nobody: something is broken then.
const MOST: f64 = 20.0;

/// How many times as long as written.
#[derive(Debug, Clone, Copy)]
pub struct Patience(f64);

impl Patience {
    /// With a guest that took that long to boot.
    pub fn after(boot: Duration) -> Self {
        Self(boot.div_duration_f64(BOOT).clamp(1.0, MOST))
    }

    /// The limit that is written as `limit`.
    pub fn of(self, limit: Duration) -> Duration {
        limit.mul_f64(self.0)
    }

    /// How often something is tried that is written to be tried `times`.
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
