//! Rate limits. They are in RAM, and keyed by hashes whose salt is new at each start.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a limit counts: a network or an account, as a keyed hash (SipHash) that means nothing
/// outside this process.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Subject(u64);

/// Makes subjects from values that must not be kept.
#[derive(Default)]
pub(crate) struct Salt(RandomState);

impl Salt {
    /// The network that a client belongs to: an IPv4 address, or the /64 of an IPv6 one.
    pub(crate) fn network(&self, address: IpAddr) -> Subject {
        let network = match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 => v4,
        };
        self.subject(network)
    }

    /// A subject for any other value.
    pub(crate) fn subject(&self, of: impl Hash) -> Subject {
        Subject(self.0.hash_one(of))
    }
}

/// The most subjects that one limit remembers: about 64 MiB.
const MAX_SUBJECTS: usize = 1 << 20;

/// A token bucket that holds an hour's worth and refills evenly.
pub(crate) struct Limit {
    interval: Duration,
    burst: Duration,
    /// When the bucket of each subject is full again.
    restored: Mutex<HashMap<Subject, Instant>>,
}

impl Limit {
    /// A limit of `hourly` an hour, at least 1.
    pub(crate) fn new(hourly: u32) -> Self {
        let hour = Duration::from_secs(3600);
        Self {
            interval: hour / hourly.max(1),
            burst: hour,
            restored: Mutex::default(),
        }
    }

    /// Takes one from the subject's bucket.
    ///
    /// # Errors
    /// The bucket is empty. Holds the time until there is one again.
    pub(crate) fn take(&self, subject: Subject, now: Instant) -> Result<(), Duration> {
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        if restored.len() >= MAX_SUBJECTS {
            restored.retain(|_, &mut at| at > now);
        }
        let full = restored.len() >= MAX_SUBJECTS && !restored.contains_key(&subject);
        let at = restored.get(&subject).map_or(now, |&at| at.max(now)) + self.interval;
        let wait = at.saturating_duration_since(now + self.burst);
        // Rounding makes a burst differ from a whole number of intervals.
        if full || wait > Duration::from_micros(1) {
            return Err(wait.max(Duration::from_secs(1)));
        }
        restored.insert(subject, at);
        Ok(())
    }

    /// Returns one that turned out not to count.
    pub(crate) fn give_back(&self, subject: Subject) {
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = restored.get_mut(&subject) {
            *at = at.checked_sub(self.interval).unwrap_or(*at);
        }
    }

    /// Forgets the subjects whose bucket is full again.
    pub(crate) fn sweep(&self, now: Instant) {
        let mut restored = self.restored.lock().unwrap_or_else(PoisonError::into_inner);
        restored.retain(|_, &mut at| at > now);
        restored.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_holds_for_its_hour_and_comes_back() {
        let (limit, salt, start) = (Limit::new(7), Salt::default(), Instant::now());
        let (ann, bob) = (salt.subject("ann"), salt.subject("bob"));
        for _ in 0..7 {
            limit.take(ann, start).unwrap();
        }
        let wait = limit.take(ann, start).unwrap_err();
        limit.take(bob, start).unwrap();
        limit.take(ann, start + wait).unwrap();
        limit.take(ann, start + wait).unwrap_err();
    }

    #[test]
    fn what_was_given_back_can_be_taken_again() {
        let (limit, subject, now) = (Limit::new(1), Salt::default().subject(1), Instant::now());
        limit.take(subject, now).unwrap();
        limit.give_back(subject);
        limit.take(subject, now).unwrap();
        limit.take(subject, now).unwrap_err();
    }

    #[test]
    fn nothing_is_remembered_of_a_subject_that_has_all_of_its_own_again() {
        let (limit, now) = (Limit::new(2), Instant::now());
        limit.take(Salt::default().subject(1), now).unwrap();
        limit.sweep(now + Duration::from_secs(1801));
        assert!(limit.restored.lock().unwrap().is_empty());
    }

    #[test]
    fn an_ipv6_network_is_a_64() {
        let salt = Salt::default();
        let network = |text: &str| salt.network(text.parse().unwrap());
        assert!(network("2001:db8::1") == network("2001:db8::ffff:1"));
        assert!(network("2001:db8::1") != network("2001:db8:0:1::1"));
        assert!(network("192.0.2.1") == network("::ffff:192.0.2.1"));
        assert!(network("192.0.2.1") != network("192.0.2.2"));
    }
}
