//! Limits the work that handshakes make, for each network, for each key and in all.
//!
//! Work is counted in units of what it costs to open an initiation: one Diffie-Hellman, after which
//! the initiator's static key is known. What turns out to be junk then (a key that is not enrolled,
//! a recording) is billed one unit to the networks of its source. The answer to an enrolled key is
//! billed four, from another budget. So junk and answers cannot spend each other's budgets, and the
//! load that makes the node demand proof of every sender is a load of junk: peers that rekey are
//! none.
//!
//! ```text
//!   all the work of a second, which follows from the number of processors
//!     1/8  junk whose source may be forged
//!     1/8  junk of senders with a cookie, and what of the first eighth is not spent
//!     1/2  answers to enrolled keys
//!     1/4  answers to live sessions, which may spend the half as well
//! ```
//!
//! A network is an IPv6 /64, /56, /48 or /40, or an IPv4 address or /24. Each may have a share of
//! what is left of a budget, so that no network spends it all, however many smaller ones it
//! consists of: the more is spent, the less may each spend that has spent already (dynamic
//! thresholds of Choudhury and Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet
//! Switches", 1998).
//!
//! The source address of a datagram may be forged, so its count must not lock out the owner of the
//! address. When the budget of *unproven* datagrams is spent, the node only asks for proof (a
//! cookie). Senders with a cookie have a budget that forgers cannot spend.
//!
//! Counts are kept for one second, in fixed memory, under hashes whose salt is used for that second
//! only. Then everything is zeroed.

use std::array;
use std::hash::Hasher as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore as _;
use siphasher::sip::SipHasher13;
use zeroize::Zeroize as _;

/// What it costs to open an initiation: the unit of everything here, about 62 us.
const OPENING: u32 = 1;
/// What an answer costs, its opening included: about 240 us
/// (`cargo run --release -p mayfly-tunnel --example handshake_costs`).
const ANSWER: u32 = 4;
/// Units a second that one core does. It is less than what was measured, because a core may be
/// slower, and the thread has cookies to write beside.
const PER_CORE: u32 = 10_000;

/// Junk a second from one source that has not proven its address (wireguard-go's
/// `packetsPerSecond`). Beyond it that source is asked for a cookie, and no other.
const UNPROVEN_PER_SOURCE: u32 = 20;
/// Answers a second to one key. A client begins again after five seconds, or at once if it was
/// started again.
const ANSWERS_PER_KEY: u32 = 5;

/// Prefix lengths of the networks that an address is in, each with its share, in sixteenths of what
/// is left of a budget of junk.
const IPV6_NETWORKS: [(u32, u32); 4] = [(64, 1), (56, 2), (48, 4), (40, 8)];
/// See `IPV6_NETWORKS`.
const IPV4_NETWORKS: [(u32, u32); 2] = [(32, 1), (24, 4)];
/// Shares of the budget of answers are this many times as large: thousands of customers may be
/// behind one address, and each must have paid for its key.
const ANSWERS_GENEROSITY: u32 = 8;

const WINDOW: Duration = Duration::from_secs(1);
/// Counters in a row, a power of two.
const ROW: usize = 8_192;

pub(crate) struct Limiter {
    random: ChaCha20Rng,
    salt: [u8; 16],
    /// When the counts will be forgotten; `None` while there are none.
    until: Option<Instant>,
    /// All the work of a second, in units.
    all: u32,
    unproven: Spending,
    proven: Spending,
    answers: Spending,
    answered_keys: Counts,
}

/// Whether the source of a datagram may be forged, or its sender has our cookie for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    Unproven,
    Proven,
}

impl Limiter {
    /// For a node with this many processors. One thread answers, so that it can use one at most.
    /// A node that has only one leaves half of it to the packets.
    pub(super) fn new(random: ChaCha20Rng, processors: u8) -> Self {
        Self {
            random,
            salt: [0; 16],
            until: None,
            all: if processors < 2 {
                PER_CORE / 2
            } else {
                PER_CORE
            },
            unproven: Spending::default(),
            proven: Spending::default(),
            answers: Spending::default(),
            answered_keys: Counts::default(),
        }
    }

    /// Whether an initiation may be opened. If it is junk, it must be [billed](Self::bill_junk).
    pub(super) fn may_open(&mut self, source: IpAddr, proof: Proof, now: Instant) -> bool {
        let networks = self.networks(source, now);
        match proof {
            Proof::Unproven => {
                let left = (self.all / 8).saturating_sub(self.unproven.total);
                let Some(source) = networks.first() else {
                    return false;
                };
                self.unproven.counts.get(source.hash) < UNPROVEN_PER_SOURCE
                    && self.unproven.has_room(&networks, left, 1)
            }
            Proof::Proven => {
                let spent = self.unproven.total + self.proven.total;
                let left = (self.all / 4).saturating_sub(spent);
                self.proven.has_room(&networks, left, 1)
            }
        }
    }

    /// Bills an initiation that was opened and is not answered.
    pub(super) fn bill_junk(&mut self, source: IpAddr, proof: Proof, now: Instant) {
        let networks = self.networks(source, now);
        match proof {
            Proof::Unproven => self.unproven.bill(&networks, OPENING),
            Proof::Proven => self.proven.bill(&networks, OPENING),
        }
    }

    /// Bills an answer to an enrolled key, if there is room for it. A key with a live session has a
    /// reserve that others cannot spend.
    pub(super) fn take_answer(
        &mut self,
        source: IpAddr,
        key: &[u8; 32],
        is_live: bool,
        now: Instant,
    ) -> bool {
        let networks = self.networks(source, now);
        let budget = if is_live {
            self.all / 4 * 3
        } else {
            self.all / 2
        };
        let left = budget.saturating_sub(self.answers.total);
        let key = SipHasher13::new_with_key(&self.salt).hash(key);
        let has_room = left >= ANSWER
            && self.answered_keys.get(key) < ANSWERS_PER_KEY
            && self.answers.has_room(&networks, left, ANSWERS_GENEROSITY);
        if has_room {
            self.answered_keys.add(key, 1);
            self.answers.bill(&networks, ANSWER);
        }
        has_room
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
        for spending in [&mut self.unproven, &mut self.proven, &mut self.answers] {
            spending.forget();
        }
        self.answered_keys.forget();
        self.salt.zeroize();
    }

    /// The networks that an address is in, from the smallest to the largest.
    fn networks(&mut self, address: IpAddr, now: Instant) -> Vec<Network> {
        self.handle_timeout(now);
        if self.until.is_none() {
            self.until = Some(now + WINDOW);
            self.random.fill_bytes(&mut self.salt);
        }
        let salted = SipHasher13::new_with_key(&self.salt);
        let network = |prefix: u64, bits: u32, share| {
            let mut hasher = salted;
            hasher.write_u32(bits);
            hasher.write_u64(prefix);
            Network {
                hash: hasher.finish(),
                share,
            }
        };
        match address.to_canonical() {
            IpAddr::V4(address) => {
                let address = u32::from(address);
                let networks = IPV4_NETWORKS.iter();
                networks
                    .map(|&(bits, share)| {
                        // No IPv6 network has as short a prefix.
                        network((address >> (32 - bits)).into(), bits, share)
                    })
                    .collect()
            }
            IpAddr::V6(address) => {
                let address = u128::from(address);
                let networks = IPV6_NETWORKS.iter();
                networks
                    .map(|&(bits, share)| network((address >> (128 - bits)) as u64, bits, share))
                    .collect()
            }
        }
    }
}

/// A network that a source is in.
struct Network {
    hash: u64,
    /// In sixteenths of what is left.
    share: u32,
}

/// What was spent of a budget, in units.
#[derive(Default)]
struct Spending {
    total: u32,
    /// By network. A unit is in the counts of all networks that its source is in.
    counts: Counts,
}

impl Spending {
    /// Whether each network has spent less than its share of what is left.
    fn has_room(&self, networks: &[Network], left: u32, generosity: u32) -> bool {
        networks.iter().all(|network| {
            let share = left * network.share * generosity / 16;
            self.counts.get(network.hash) < share
        })
    }

    fn bill(&mut self, networks: &[Network], units: u32) {
        self.total += units;
        for network in networks {
            self.counts.add(network.hash, units);
        }
    }

    fn forget(&mut self) {
        self.total = 0;
        self.counts.forget();
    }
}

/// A count-min sketch. A count is the smaller of two counters, each of which it may share with
/// others by chance. It may be too high, and is never too low.
struct Counts {
    rows: Box<[[u16; ROW]; 2]>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            rows: Box::new([[0; ROW]; 2]),
        }
    }
}

impl Counts {
    fn get(&self, hash: u64) -> u32 {
        let [first, second] = self.counters(hash);
        first.min(second).into()
    }

    fn add(&mut self, hash: u64, units: u32) {
        let count = self.get(hash).saturating_add(units);
        let count = u16::try_from(count).unwrap_or(u16::MAX);
        let places = places(hash);
        for (row, place) in self.rows.iter_mut().zip(places) {
            row[place] = row[place].max(count);
        }
    }

    fn counters(&self, hash: u64) -> [u16; 2] {
        let places = places(hash);
        array::from_fn(|row| self.rows[row][places[row]])
    }

    fn forget(&mut self) {
        *self.rows = [[0; ROW]; 2];
    }
}

fn places(hash: u64) -> [usize; 2] {
    [hash as usize % ROW, (hash >> 32) as usize % ROW]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rand_core::SeedableRng as _;

    use super::Proof::{Proven, Unproven};
    use super::*;

    /// Units a second of the limiters here.
    const ALL: u32 = PER_CORE;

    fn limiter() -> Limiter {
        Limiter::new(ChaCha20Rng::from_seed([1; 32]), 2)
    }

    /// How many initiations of a source that are junk are opened, until one is not.
    fn junk(limiter: &mut Limiter, source: impl Into<IpAddr>, proof: Proof, now: Instant) -> u32 {
        let source = source.into();
        let opened = (0..ALL).take_while(|_| {
            let may = limiter.may_open(source, proof, now);
            if may {
                limiter.bill_junk(source, proof, now);
            }
            may
        });
        opened.count() as u32
    }

    /// How many of `keys` of a source are answered.
    fn answers(
        limiter: &mut Limiter,
        source: impl Into<IpAddr>,
        keys: std::ops::Range<u32>,
        is_live: bool,
        now: Instant,
    ) -> u32 {
        let source = source.into();
        let answered = keys.filter(|key| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&key.to_le_bytes());
            limiter.take_answer(source, &bytes, is_live, now)
        });
        answered.count() as u32
    }

    /// An address in the /64 with this number.
    fn in_64(number: u64) -> IpAddr {
        let prefix = (0x2001_0db8_u64 << 32) + number;
        IpAddr::from((u128::from(prefix) << 64 | 1).to_be_bytes())
    }

    #[test]
    fn a_source_without_proof_has_twenty_a_second() {
        let (mut limiter, now) = (limiter(), Instant::now());
        assert_eq!(junk(&mut limiter, [192, 0, 2, 1], Unproven, now), 20);
        let later = now + WINDOW / 2;
        assert_eq!(junk(&mut limiter, [192, 0, 2, 1], Unproven, later), 0);
        let next = now + WINDOW;
        assert_eq!(junk(&mut limiter, [192, 0, 2, 1], Unproven, next), 20);
    }

    #[test]
    fn an_ipv6_source_is_a_64_and_an_ipv4_source_an_address() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let one = [0x2001, 0xdb8, 0, 1, 0, 0, 0, 1];
        assert_eq!(junk(&mut limiter, one, Unproven, now), 20);
        let same = [0x2001, 0xdb8, 0, 1, 9, 9, 9, 9];
        assert_eq!(junk(&mut limiter, same, Unproven, now), 0);
        let other = [0x2001, 0xdb8, 0, 2, 0, 0, 0, 1];
        assert_eq!(junk(&mut limiter, other, Unproven, now), 20);
        let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        assert_eq!(junk(&mut limiter, mapped, Unproven, now), 20);
        assert_eq!(junk(&mut limiter, [192, 0, 2, 1], Unproven, now), 0);
        assert_eq!(junk(&mut limiter, [192, 0, 2, 2], Unproven, now), 20);
    }

    #[test]
    fn forgers_cannot_spend_the_budget_of_who_holds_a_cookie() {
        let (mut limiter, now) = (limiter(), Instant::now());
        for n in 0..ALL {
            junk(&mut limiter, n.to_be_bytes(), Unproven, now);
        }
        let source = IpAddr::from([0, 0, 0, 1]);
        assert!(!limiter.may_open(source, Unproven, now));
        assert!(limiter.may_open(source, Proven, now));
    }

    #[test]
    fn a_network_has_a_share_of_what_is_left_however_many_smaller_ones_it_has() {
        let networks = [(64, 1), (60, 16), (56, 256), (48, 65_536), (40, 1 << 24)];
        let mut spent = 0;
        for (bits, subnets) in networks {
            let (mut limiter, now) = (limiter(), Instant::now());
            let step = (subnets / 2_000).max(1);
            let sources = (0..subnets).step_by(step as usize);
            let opened: u32 = sources
                .map(|n| junk(&mut limiter, in_64(n), Proven, now))
                .sum();
            assert!(opened >= spent, "/{bits} has the share of its subnets");
            assert!(opened <= ALL / 4 / 3, "/{bits} had {opened}");
            spent = opened;
            let elsewhere = junk(&mut limiter, in_64(1 << 30), Proven, now);
            assert!(elsewhere >= 90, "beside /{bits}, others had {elsewhere}");
        }
    }

    #[test]
    fn an_ipv4_24_has_a_share_however_many_of_its_addresses_ask() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let sources = (0..=255).map(|last| [192, 0, 2, last]);
        let opened: u32 = sources
            .map(|source| junk(&mut limiter, source, Proven, now))
            .sum();
        assert_eq!(opened, ALL / 4 / 5, "a quarter of the rest");
        assert!(junk(&mut limiter, [192, 0, 3, 1], Proven, now) >= 100);
    }

    #[test]
    fn junk_spends_no_answer_and_answers_spend_no_junk() {
        let (mut limiter, now) = (limiter(), Instant::now());
        for n in 0..ALL {
            junk(&mut limiter, n.to_be_bytes(), Unproven, now);
            junk(&mut limiter, n.to_be_bytes(), Proven, now);
        }
        let answered =
            (0..ALL).map(|n| answers(&mut limiter, n.to_be_bytes(), n..n + 1, true, now));
        assert!(answered.sum::<u32>() >= ALL / 4 * 3 / ANSWER - 10);
        let next = now + WINDOW;
        let answered =
            (0..ALL).map(|n| answers(&mut limiter, n.to_be_bytes(), n..n + 1, true, next));
        assert!(answered.sum::<u32>() > 0);
        assert!(limiter.may_open([192, 0, 2, 1].into(), Unproven, next));
        assert!(limiter.may_open([192, 0, 2, 1].into(), Proven, next));
    }

    #[test]
    fn enrolled_keys_that_come_all_at_once_leave_live_ones_their_reserve() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let mut all = |is_live, keys: std::ops::Range<u32>| -> u32 {
            keys.map(|n| answers(&mut limiter, n.to_be_bytes(), n..n + 1, is_live, now))
                .sum()
        };
        let enrolled = all(false, 0..ALL);
        assert!(enrolled >= ALL / 2 / ANSWER - 10, "{enrolled}");
        assert!(all(true, ALL..2 * ALL) >= ALL / 4 / ANSWER);
    }

    #[test]
    fn no_network_has_all_answers_and_no_key_more_than_five() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let one = answers(&mut limiter, [192, 0, 2, 1], 0..ALL, false, now);
        assert!(one.abs_diff(ALL / 2 / ANSWER / 3) <= 1, "{one}");
        let two = answers(&mut limiter, [203, 0, 113, 1], ALL..2 * ALL, false, now);
        assert!(two >= one / 2, "{two}");
        let next = now + WINDOW;
        let sources = (0..=255).map(|last| [last, 0, 2, 1]);
        let same: u32 = sources
            .map(|source| answers(&mut limiter, source, 7..8, true, next))
            .sum();
        assert_eq!(same, ANSWERS_PER_KEY);
    }

    /// As 24,000 peers do that rekey every 120 s, a second's 200 in the same instant.
    #[test]
    fn the_rekeys_of_24_000_peers_are_no_load() {
        for processors in [1, 2, 64] {
            let mut limiter = Limiter::new(ChaCha20Rng::from_seed([1; 32]), processors);
            let start = Instant::now();
            for peer in 0..24_000_u32 {
                let now = start + WINDOW * (peer / 200);
                let source = IpAddr::from((0x6440_0000 + peer).to_be_bytes());
                assert!(limiter.may_open(source, Unproven, now), "{peer}");
                let answered = answers(&mut limiter, source, peer..peer + 1, true, now);
                assert_eq!(answered, 1, "{peer}");
            }
        }
    }

    #[test]
    fn after_its_second_nothing_is_left() {
        let (mut limiter, now) = (limiter(), Instant::now());
        let is_blank = |limiter: &Limiter| {
            let counts = [
                &limiter.unproven.counts,
                &limiter.proven.counts,
                &limiter.answers.counts,
                &limiter.answered_keys,
            ];
            let counters = counts.map(|counts| counts.rows.iter().flatten().sum::<u16>());
            (counters.map(|sum| sum == 0), limiter.salt == [0; 16])
        };
        junk(&mut limiter, [192, 0, 2, 1], Unproven, now);
        junk(&mut limiter, [192, 0, 2, 1], Proven, now);
        answers(&mut limiter, [192, 0, 2, 1], 0..1, true, now);
        assert_eq!(limiter.poll_timeout(), Some(now + WINDOW));
        assert_eq!(is_blank(&limiter), ([false; 4], false));
        limiter.handle_timeout(now + WINDOW);
        assert_eq!(is_blank(&limiter), ([true; 4], true));
        assert_eq!(limiter.poll_timeout(), None);
    }
}
