//! The enrolments of the node. A token enrols one key at a node, with its inner addresses, until
//! the token ends.
//!
//! The registry does no I/O and reads no clock. It answers a request, and says what the request
//! means for the tunnel and the counter, as [`Change`]s in the order in which to apply them.

mod barred;
mod giving_way;
mod idleness;
mod pool;
mod pools;
mod salted;
mod spending;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha20Rng;
use rand_core::{OsRng, RngCore as _, SeedableRng as _};
use subtle::ConstantTimeEq as _;
use x25519_dalek::StaticSecret;

use mayfly_tunnel::SecretIndex;
use mayfly_wire::token::Claims;
use mayfly_wire::{PresharedKey, PublicKey, Ticket};

use crate::node_keys::NodeKeys;
use crate::refusal::Refusal;
use crate::settings;
use barred::Barred;
use giving_way::Newcomers;
use idleness::Idleness;
pub(crate) use pool::own_address;
use pools::{Class, Lease, Pools};
use spending::Spending;

const MINUTE: Duration = Duration::from_secs(60);
/// Minutes of an hour.
const HOUR: u8 = 60;

/// One enrolment. It is a random number: one that counts up would say between which others an
/// enrolment was made, and so when. It is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EnrolmentId(u64);

impl EnrolmentId {
    /// The bits of the number that choose the shard.
    const SHARD_BITS: u32 = 8;

    /// A new number.
    pub(crate) fn random() -> Self {
        Self(OsRng.next_u64())
    }

    /// A new number with the same shard.
    fn beside(self) -> Self {
        let rest = u64::MAX >> Self::SHARD_BITS;
        Self((self.0 & !rest) | (OsRng.next_u64() & rest))
    }

    /// The shard for this enrolment, of `shards`, of which there are at most 256.
    pub(crate) fn shard(self, shards: usize) -> usize {
        let share = (self.0 >> (u64::BITS - Self::SHARD_BITS)) as usize;
        (share * shards) >> Self::SHARD_BITS
    }
}

/// One session of an enrolment. No other session has the same id, not even a later one of the same
/// enrolment: what the counter still has to say about one must not be taken for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId {
    enrolment: EnrolmentId,
    /// A random number. One that counts up would say when the session began.
    generation: NonZeroU64,
}

/// An enrolled client: what the tunnel must know to add it as a peer.
#[derive(Clone)]
pub(crate) struct Client {
    /// Its static key.
    pub public_key: PublicKey,
    /// Its pre-shared key, which the node made.
    pub preshared_key: PresharedKey,
    /// Its inner IPv4 address.
    pub ipv4: Ipv4Addr,
    /// Its inner IPv6 address, if the account wants one and the node has some.
    pub ipv6: Option<Ipv6Addr>,
}

/// What a request means for the rest of the node.
pub(crate) enum Change {
    /// The tunnel adds a peer.
    Add(EnrolmentId, Client),
    /// The tunnel removes a peer. Its session ends, if it has one.
    Remove(EnrolmentId, Option<SessionId>),
    /// The enrolment goes on under another ticket, and so does its session, if it has one.
    Renew(Option<SessionId>, Ticket),
}

/// The answer to an enrolment.
pub(crate) struct Enrolled {
    /// The client's side of the tunnel.
    pub client: Client,
    /// End of the enrolment, in seconds since 1970.
    pub expires: u64,
}

/// Everything that the node knows of an enrolled client.
struct Enrolment {
    client: Client,
    /// The pools that its addresses go back to.
    class: Class,
    ticket: Ticket,
    expires: u64,
    /// The generation of its session, while it has one.
    session: Option<NonZeroU64>,
    idleness: Idleness,
    /// Whether it was made in this minute or the one before.
    is_new: bool,
}

impl Enrolment {
    fn session_id(&self, id: EnrolmentId) -> Option<SessionId> {
        let generation = self.session?;
        Some(SessionId {
            enrolment: id,
            generation,
        })
    }
}

/// The enrolled clients of the node. The address pools bound its memory.
pub(crate) struct Registry {
    pools: Pools,
    /// Boxed, because the allocator zeroes freed memory, but nothing zeroes a place in a table that
    /// has become free.
    enrolments: HashMap<EnrolmentId, Box<Enrolment>>,
    by_key: SecretIndex<EnrolmentId>,
    by_ticket: SecretIndex<EnrolmentId>,
    /// Addresses of enrolments that have ended. They rest until no packet thread carries their
    /// packets and the kernel has forgotten their connections: then no client gets what was meant
    /// for another.
    resting: HashMap<EnrolmentId, Box<Lease>>,
    newcomers: Newcomers,
    spending: Spending,
    /// No token ends before this time.
    next_end: u64,
    barred: Barred,
    /// When the next minute begins, and how many have passed of this hour.
    next_minute: Instant,
    minutes: u8,
    /// The node's own keys, which no client may have.
    node: NodeKeys,
}

impl Registry {
    /// An empty registry of the node with these keys. The first order of addresses comes from
    /// `seed`. What is random later comes from the system: a generator that is kept would tell, to
    /// whoever reads the memory, what it has given out before.
    pub(crate) fn new(
        pools: &settings::Pools,
        node: NodeKeys,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        Self {
            pools: Pools::new(pools, &mut random),
            enrolments: HashMap::new(),
            by_key: SecretIndex::new(salt(&mut random)),
            by_ticket: SecretIndex::new(salt(&mut random)),
            next_end: u64::MAX,
            resting: HashMap::new(),
            newcomers: Newcomers::default(),
            spending: Spending::default(),
            barred: Barred::default(),
            next_minute: now + MINUTE,
            minutes: 0,
            node,
        }
    }

    /// Enrols a key under a verified token, or extends the key's enrolment.
    ///
    /// - The same key and token again get the same answer.
    /// - A key under another token is extended if `bearer` is its pre-shared key. If the new token
    ///   gives it other addresses, it is enrolled again.
    /// - Another key under the same token takes the place of the first.
    ///
    /// # Errors
    /// `KeyLowOrder`, `KeyBarred`, `KeyTaken`, `TokenTooOften`, `PoolFull` or `AddressesRest`.
    /// Nothing has changed then.
    pub(crate) fn enrol(
        &mut self,
        claims: &Claims,
        key: PublicKey,
        bearer: Option<&PresharedKey>,
    ) -> Result<(Enrolled, Vec<Change>), Refusal> {
        if is_low_order(key) {
            return Err(Refusal::KeyLowOrder);
        }
        if self.node.contain(key) {
            return Err(Refusal::KeyTaken);
        }
        if self.barred.holds(key) {
            return Err(Refusal::KeyBarred);
        }
        let class = self.pools.class(claims);
        let held = self.of_key(key);
        if let Some(id) = held {
            self.may_extend(id, claims, bearer)?;
            if self.class_of(id) == Some(class) {
                return self.extend(id, claims);
            }
        }
        let mut replaced: Vec<_> = self.of_ticket(claims.ticket).into_iter().collect();
        replaced.extend(held.filter(|id| !replaced.contains(id)));
        self.replace(&replaced, class, claims, key)
    }

    /// Ends an enrolment for the holder of its pre-shared key.
    ///
    /// # Errors
    /// `NotThePeer` if `bearer` is not that key, or if there is no such peer.
    pub(crate) fn release(
        &mut self,
        key: PublicKey,
        bearer: Option<&PresharedKey>,
    ) -> Result<Change, Refusal> {
        let id = self.of_key(key).ok_or(Refusal::NotThePeer)?;
        if !self.is_peer(id, bearer) {
            return Err(Refusal::NotThePeer);
        }
        self.remove(id).ok_or(Refusal::NotThePeer)
    }

    /// Ends the enrolment of a session that was finally denied, and bars its key for a while (rule
    /// 6 of `crates/counter/PROTOCOL.md`). A session that has ended already changes nothing.
    pub(crate) fn deny(&mut self, session: SessionId) -> Option<Change> {
        let id = session.enrolment;
        let enrolment = self.enrolments.get(&id)?;
        if enrolment.session != Some(session.generation) {
            return None;
        }
        self.barred.add(enrolment.client.public_key);
        self.remove(id)
    }

    /// Ends the enrolments whose token has ended at `now`, in seconds since 1970. With
    /// `keep_sessions`, those that have a session stay.
    ///
    /// Tokens end at whole hours. To look through all enrolments then costs less than to keep them
    /// sorted by their ends.
    pub(crate) fn expire(&mut self, now: u64, keep_sessions: bool) -> Vec<Change> {
        if now < self.next_end {
            return Vec::new();
        }
        let mut ended = Vec::new();
        self.next_end = u64::MAX;
        for (&id, enrolment) in &self.enrolments {
            let stays = keep_sessions && enrolment.session.is_some();
            if enrolment.expires <= now && !stays {
                ended.push(id);
            } else {
                self.next_end = self.next_end.min(enrolment.expires);
            }
        }
        ended.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// Does what is due with each minute and each hour. To be called every few seconds.
    pub(crate) fn handle_tick(&mut self, now: Instant) {
        while self.next_minute <= now {
            self.next_minute += MINUTE;
            self.spending.handle_minute();
            self.barred.handle_minute();
            for id in self.newcomers.handle_minute() {
                if let Some(enrolment) = self.enrolments.get_mut(&id) {
                    enrolment.is_new = false;
                }
            }
            self.minutes = (self.minutes + 1) % HOUR;
            if self.minutes == 0 {
                let idle = self.enrolments.values_mut();
                let idle = idle.filter(|enrolment| enrolment.session.is_none());
                idle.for_each(|enrolment| enrolment.idleness.handle_hour());
            }
        }
    }

    /// The addresses of an enrolment that has ended have rested: no packet of its client is carried
    /// and no connection is left.
    pub(crate) fn rested(&mut self, id: EnrolmentId) {
        if let Some(lease) = self.resting.remove(&id) {
            self.pools.put_back(*lease, &mut OsRng);
        }
    }

    /// A session of an enrolment began. Returns its id and its ticket, unless the enrolment has
    /// ended.
    pub(crate) fn session_up(&mut self, id: EnrolmentId) -> Option<(SessionId, Ticket)> {
        let enrolment = self.enrolments.get_mut(&id)?;
        let generation = OsRng.next_u64();
        enrolment.session = Some(NonZeroU64::new(generation).unwrap_or(NonZeroU64::MIN));
        enrolment.idleness.connected();
        Some((enrolment.session_id(id)?, enrolment.ticket))
    }

    /// The session of an enrolment ended. Returns its id, if there was one.
    pub(crate) fn session_down(&mut self, id: EnrolmentId) -> Option<SessionId> {
        let enrolment = self.enrolments.get_mut(&id)?;
        let session = enrolment.session_id(id);
        enrolment.session = None;
        enrolment.idleness.was_here();
        session
    }

    /// The ticket of an enrolment.
    pub(crate) fn ticket(&self, id: EnrolmentId) -> Option<Ticket> {
        self.enrolments.get(&id).map(|enrolment| enrolment.ticket)
    }

    /// Whether a new client without an add-on is refused.
    pub(crate) fn is_full(&self) -> bool {
        let class = Class::PLAIN;
        !self.pools.has_room(class)
            && self.gives_way(class).is_none()
            && self.no_room(class) == Refusal::PoolFull
    }

    fn may_extend(
        &self,
        id: EnrolmentId,
        claims: &Claims,
        bearer: Option<&PresharedKey>,
    ) -> Result<(), Refusal> {
        let same_token = self.ticket(id) == Some(claims.ticket);
        if same_token || self.is_peer(id, bearer) {
            return Ok(());
        }
        Err(Refusal::KeyTaken)
    }

    /// Whether the bearer is the peer's pre-shared key, compared in constant time.
    fn is_peer(&self, id: EnrolmentId, bearer: Option<&PresharedKey>) -> bool {
        let (Some(enrolment), Some(bearer)) = (self.enrolments.get(&id), bearer) else {
            return false;
        };
        enrolment.client.preshared_key.0.ct_eq(&bearer.0).into()
    }

    fn extend(
        &mut self,
        id: EnrolmentId,
        claims: &Claims,
    ) -> Result<(Enrolled, Vec<Change>), Refusal> {
        let other = self.of_ticket(claims.ticket);
        let other = other.filter(|other| *other != id);
        let mut changes: Vec<_> = other
            .and_then(|other| self.remove(other))
            .into_iter()
            .collect();
        let enrolment = self.enrolments.get_mut(&id).ok_or(Refusal::NotThePeer)?;
        let (former, session) = (enrolment.ticket, enrolment.session_id(id));
        enrolment.idleness.was_here();
        if former != claims.ticket {
            enrolment.ticket = claims.ticket;
            enrolment.expires = claims.exp;
            self.by_ticket.remove(&former.0, id);
            self.enter_ticket(claims, id);
            changes.push(Change::Renew(session, claims.ticket));
        }
        let enrolment = self.enrolments.get(&id).ok_or(Refusal::NotThePeer)?;
        let enrolled = Enrolled {
            client: enrolment.client.clone(),
            expires: enrolment.expires,
        };
        Ok((enrolled, changes))
    }

    /// Enrols a key in the place of the enrolments that it replaces. They end first: -1 before +1.
    ///
    /// If no address is free, it takes those of an enrolment that it replaces, which was the same
    /// customer's, or of one that gives way, which has no connections. It gets a number with the
    /// same shard then: the packet thread must forget the one before it learns of the other.
    fn replace(
        &mut self,
        replaced: &[EnrolmentId],
        class: Class,
        claims: &Claims,
        key: PublicKey,
    ) -> Result<(Enrolled, Vec<Change>), Refusal> {
        // Before the search, which takes milliseconds in a large pool that is full.
        if !self.spending.take(claims.ticket) {
            return Err(Refusal::TokenTooOften);
        }
        let heir_of = self.whose_addresses(replaced, class);
        if heir_of == Err(Refusal::AddressesRest) {
            // The client is told to ask again within seconds.
            self.spending.give_back(claims.ticket);
        }
        let heir_of = heir_of?;
        let others = heir_of.filter(|id| !replaced.contains(id));
        let leaving = replaced.iter().copied().chain(others);
        let mut changes: Vec<_> = leaving.filter_map(|id| self.remove(id)).collect();
        let lease = match heir_of {
            Some(former) => self.inherit(former, class),
            None => self.pools.take(class),
        };
        let lease = lease.ok_or(Refusal::PoolFull)?;
        let id = heir_of.map_or_else(EnrolmentId::random, EnrolmentId::beside);
        let mut preshared_key = PresharedKey([0; 32]);
        // Not from `random`, which makes a block at a time: the keys of the next clients would lie
        // in it, and wherever it was moved from, long before and after they are used.
        OsRng.fill_bytes(&mut preshared_key.0);
        let client = Client {
            public_key: key,
            preshared_key,
            ipv4: lease.ipv4,
            ipv6: lease.ipv6,
        };
        self.insert(id, client.clone(), class, claims);
        changes.push(Change::Add(id, client.clone()));
        let expires = claims.exp;
        Ok((Enrolled { client, expires }, changes))
    }

    /// The enrolment whose addresses a new one takes. `None` if there are free ones.
    fn whose_addresses(
        &self,
        replaced: &[EnrolmentId],
        class: Class,
    ) -> Result<Option<EnrolmentId>, Refusal> {
        if self.pools.has_room(class) {
            return Ok(None);
        }
        let covers = |id: &&EnrolmentId| self.class_of(**id).is_some_and(|own| own.covers(class));
        let own = replaced.iter().find(covers).copied();
        let id = own.or_else(|| self.gives_way(class));
        id.map(Some).ok_or_else(|| self.no_room(class))
    }

    /// Why there are no addresses for a client of the class.
    fn no_room(&self, class: Class) -> Refusal {
        let mut resting = self.resting.values();
        if resting.any(|lease| lease.class.covers(class)) {
            return Refusal::AddressesRest;
        }
        Refusal::PoolFull
    }

    /// Takes the addresses of an enrolment that has just ended, as far as the class needs them.
    fn inherit(&mut self, former: EnrolmentId, class: Class) -> Option<Lease> {
        let mut lease = *self.resting.remove(&former)?;
        if !class.ipv6 {
            self.pools.put_back_ipv6(&mut lease, &mut OsRng);
        }
        Some(Lease { class, ..lease })
    }

    fn insert(&mut self, id: EnrolmentId, client: Client, class: Class, claims: &Claims) {
        self.enter_key(client.public_key, id);
        self.enter_ticket(claims, id);
        let enrolment = Enrolment {
            client,
            class,
            ticket: claims.ticket,
            expires: claims.exp,
            session: None,
            idleness: Idleness::default(),
            is_new: true,
        };
        self.newcomers.add(id);
        self.enrolments.insert(id, Box::new(enrolment));
    }

    fn remove(&mut self, id: EnrolmentId) -> Option<Change> {
        let enrolment = self.enrolments.remove(&id)?;
        self.by_key.remove(&enrolment.client.public_key.0, id);
        self.by_ticket.remove(&enrolment.ticket.0, id);
        let lease = Lease {
            class: enrolment.class,
            ipv4: enrolment.client.ipv4,
            ipv6: enrolment.client.ipv6,
        };
        self.resting.insert(id, Box::new(lease));
        Some(Change::Remove(id, enrolment.session_id(id)))
    }

    fn enter_key(&mut self, key: PublicKey, id: EnrolmentId) {
        let all = &self.enrolments;
        let of = |id| Some(&all.get(&id)?.client.public_key.0);
        self.by_key.insert(&key.0, id, of);
    }

    fn enter_ticket(&mut self, claims: &Claims, id: EnrolmentId) {
        let all = &self.enrolments;
        let of = |id| Some(&all.get(&id)?.ticket.0);
        self.by_ticket.insert(&claims.ticket.0, id, of);
        self.next_end = self.next_end.min(claims.exp);
    }

    fn of_key(&self, key: PublicKey) -> Option<EnrolmentId> {
        let has = |id| self.enrolments.get(&id).map(|own| own.client.public_key) == Some(key);
        self.by_key.find(&key.0, has)
    }

    fn of_ticket(&self, ticket: Ticket) -> Option<EnrolmentId> {
        let has = |id| self.ticket(id) == Some(ticket);
        self.by_ticket.find(&ticket.0, has)
    }

    fn class_of(&self, id: EnrolmentId) -> Option<Class> {
        Some(self.enrolments.get(&id)?.class)
    }
}

fn salt(random: &mut ChaCha20Rng) -> [u8; 16] {
    let mut salt = [0; 16];
    random.fill_bytes(&mut salt);
    salt
}

/// Whether a key gives the all-zero secret with every key (RFC 7748 section 6.1).
fn is_low_order(key: PublicKey) -> bool {
    let any = StaticSecret::from([1; 32]);
    !any.diffie_hellman(&key.0.into()).was_contributory()
}

#[cfg(test)]
mod tests;
