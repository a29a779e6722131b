//! How often a descriptor has failed in a row.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;

/// This many failures in a row are no accident: nothing crosses the descriptor.
const TOO_MANY: u32 = 1_000;

/// Failures of one descriptor since it last worked. A single one says nothing about the descriptor:
/// the kernel could not hand over one frame or datagram, and has dropped it.
#[derive(Default)]
pub(crate) struct Failures(AtomicU32);

impl Failures {
    /// Notes that the descriptor works.
    #[inline]
    pub(crate) fn end(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// Notes a failure.
    ///
    /// # Errors
    /// The failure itself, if the descriptor is gone or has failed 1,000 times in a row.
    pub(crate) fn add(&self, error: Errno) -> io::Result<()> {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        // EBADFD is a TUN queue without its device.
        let is_gone = matches!(error, Errno::EBADF | Errno::EBADFD | Errno::ENODEV);
        if is_gone || before >= TOO_MANY {
            return Err(error.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_now_and_then_goes_on_and_what_only_fails_ends() {
        let failures = Failures::default();
        for _ in 0..10 {
            for _ in 0..TOO_MANY {
                assert!(failures.add(Errno::EINVAL).is_ok());
            }
            failures.end();
        }
        let mut left = 0..;
        while failures.add(Errno::EINVAL).is_ok() {
            left.next();
        }
        assert_eq!(left.next(), Some(TOO_MANY));
    }

    #[test]
    fn a_descriptor_that_is_gone_is_no_accident() {
        for gone in [Errno::EBADF, Errno::EBADFD, Errno::ENODEV] {
            assert!(Failures::default().add(gone).is_err());
        }
    }
}
