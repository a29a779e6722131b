//! Limits handshakes, for each source and in all.
//!
//! Counts are kept for one second, in fixed memory, under a hash whose salt is used for that
//! second only. Then everything is zeroed. A source is an IPv4 address or an IPv6 /64.
//!
//! The source address of a datagram may be forged, so its count must not lock out the owner of the
//! address. When the budget of *unproven* datagrams is spent, the node only asks for proof (a
//! cookie). Senders with a cookie have a budget that forgers cannot spend.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore as _;
use siphasher::sip::SipHasher13;
use zeroize::Zeroize as _;

/// Handshakes a second from one source (wireguard-go's `packetsPerSecond`).
const PER_SOURCE: u8 = 20;
/// Handshakes a second beyond which every sender must prove its address. At about half a
/// millisecond each, they take a tenth of one core.
const UNDER_LOAD: u32 = 200;
/// Handshakes a second beyond which even proven ones are refused. They take half of one core, so
/// that peers with a session keep it. Ten thousand peers reconnect within seconds of a reboot.
const CEILING: u32 = 1_000;

const WINDOW: Duration = Duration::from_secs(1);
/// Counters in a row, a power of two.
const ROW: usize = 4_096;

pub(crate) struct Limiter {
    random: ChaCha20Rng,
    salt: [u8; 16],
    /// When the counts will be forgotten; `None` while there are none.
    until: Option<Instant>,
    admitted: u32,
    unproven: Counts,
    proven: Counts,
}

impl Limiter {
    pub(super) fn new(random: ChaCha20Rng) -> Self {
        Self {
            random,
            salt: [0; 16],
            until: None,
            admitted: 0,
            unproven: Counts::default(),
            proven: Counts::default(),
        }
    }

    /// Admits and counts a handshake whose source address may be forged. Returns whether there was
    /// room for it.
    pub(super) fn admit_unproven(&mut self, source: IpAddr, now: Instant) -> bool {
        let hash = self.hash(source, now);
        let admitted = self.admitted < UNDER_LOAD && self.unproven.take(hash);
        self.admitted += u32::from(admitted);
        admitted
    }

    /// Admits and counts a handshake whose sender has our cookie for `source`. Returns whether
    /// there was room for it.
    pub(super) fn admit_proven(&mut self, source: IpAddr, now: Instant) -> bool {
        let hash = self.hash(source, now);
        let admitted = self.admitted < CEILING && self.proven.take(hash);
        self.admitted += u32::from(admitted);
        admitted
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.until
    }

    /// Forgets the counts and their salt once their second has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.until.is_none_or(|until| now < until) {
            return;
        }
        self.until = None;
        self.admitted = 0;
        self.unproven.forget();
        self.proven.forget();
        self.salt.zeroize();
    }

    fn hash(&mut self, source: IpAddr, now: Instant) -> u64 {
        self.handle_timeout(now);
        if self.until.is_none() {
            self.until = Some(now + WINDOW);
            self.random.fill_bytes(&mut self.salt);
        }
        let hasher = SipHasher13::new_with_key(&self.salt);
        match source.to_canonical() {
            IpAddr::V4(address) => hasher.hash(&address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                hasher.hash(&[a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// A count-min sketch. The count of a source is the smaller of two counters, each of which it may
/// share with other sources by chance. It may be too high, and is never too low.
struct Counts {
    rows: Box<[[u8; ROW]; 2]>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            rows: Box::new([[0; ROW]; 2]),
        }
    }
}

impl Counts {
    fn take(&mut self, hash: u64) -> bool {
        let [first, second] = &mut *self.rows;
        let first = &mut first[hash as usize % ROW];
        let second = &mut second[(hash >> 32) as usize % ROW];
        let count = (*first).min(*second);
        if count >= PER_SOURCE {
            return false;
        }
        *first = (*first).max(count + 1);
        *second = (*second).max(count + 1);
        true
    }

    fn forget(&mut self) {
        *self.rows = [[0; ROW]; 2];
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    fn limiter() -> Limiter {
        Limiter::new(ChaCha20Rng::from_seed([1; 32]))
    }

    fn admitted(limiter: &mut Limiter, source: impl Into<IpAddr>, now: Instant) -> usize {
        let source = source.into();
        (0..100)
            .filter(|_| limiter.admit_unproven(source, now))
            .count()
    }

    #[test]
    fn a_source_has_twenty_a_second() {
        let (mut limiter, now) = (limiter(), Instant::now());
        assert_eq!(admitted(&mut limiter, [192, 0, 2, 1], now), 20);
        assert_eq!(admitted(&mut limiter, [192, 0, 2, 1], now + WINDOW / 2), 0);
        assert_eq!(admitted(&mut limiter, [192, 0, 2, 1], now + WINDOW), 20);
    }

    #[test]
    fn an_ipv6_source_is_a_64() {
        let (mut limiter, now) = (limiter(), Instant::now());
        assert_eq!(
            admitted(&mut limiter, [0x2001, 0xdb8, 0, 1, 0, 0, 0, 1], now),
            20
        );
        assert_eq!(
            admitted(&mut limiter, [0x2001, 0xdb8, 0, 1, 9, 9, 9, 9], now),
            0
        );
        assert_eq!(
            admitted(&mut limiter, [0x2001, 0xdb8, 0, 2, 0, 0, 0, 1], now),
            20
        );
    }

    #[test]
    fn a_mapped_ipv4_address_is_the_ipv4_address() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let mapped = std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        assert_eq!(admitted(&mut limiter, mapped, now), 20);
        assert_eq!(admitted(&mut limiter, [192, 0, 2, 1], now), 0);
        assert_eq!(admitted(&mut limiter, [192, 0, 2, 2], now), 20);
    }

    #[test]
    fn forgers_cannot_spend_the_budget_of_who_holds_a_cookie() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let source = IpAddr::from([192, 0, 2, 1]);
        admitted(&mut limiter, source, now);
        assert!(limiter.admit_proven(source, now));
    }

    #[test]
    fn proven_sources_stop_at_the_ceiling() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let sources = (0..10_000_u32).map(|n| IpAddr::from(n.to_be_bytes()));
        let admitted = sources
            .filter(|&source| limiter.admit_proven(source, now))
            .count();
        assert_eq!(admitted, CEILING as usize);
    }

    #[test]
    fn after_its_second_nothing_is_left() {
        let (mut limiter, now) = (limiter(), Instant::now());
        admitted(&mut limiter, [192, 0, 2, 1], now);
        assert_eq!(limiter.poll_timeout(), Some(now + WINDOW));
        assert!(
            limiter
                .unproven
                .rows
                .iter()
                .flatten()
                .any(|&count| count != 0)
        );
        limiter.handle_timeout(now + WINDOW);
        assert!(
            limiter
                .unproven
                .rows
                .iter()
                .flatten()
                .all(|&count| count == 0)
        );
        assert_eq!((limiter.salt, limiter.poll_timeout()), ([0; 16], None));
    }
}
