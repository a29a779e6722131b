//! Who is enrolled: one key a token and node, with its inner addresses, until its token ends.
//!
//! The registry does no I/O and reads no clock. It answers a request and says what it
//! means for the tunnel and the counter, as [`Change`]s in the order to carry out.

mod barred;
mod index;
mod pool;
mod pools;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{OsRng, RngCore as _, SeedableRng as _};
use subtle::ConstantTimeEq as _;
use x25519_dalek::StaticSecret;

use mayfly_wire::token::Claims;
use mayfly_wire::{PresharedKey, PublicKey, Ticket};

use crate::refusal::Refusal;
use crate::settings;
use barred::Barred;
use index::Index;
pub(crate) use pool::own_address;
use pools::{Class, Lease, Pools};

/// One enrolment, for as long as the node runs; no number is used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnrolmentId(u64);

impl EnrolmentId {
    /// Which of so many parts it falls to: one after the other, by turns.
    pub fn share(self, parts: usize) -> usize {
        (self.0 % parts.max(1) as u64) as usize
    }
}

/// What the tunnel needs to know of a new peer.
#[derive(Clone)]
pub struct Peer {
    /// Its static key.
    pub public_key: PublicKey,
    /// Made here.
    pub preshared_key: PresharedKey,
    /// Its inner address.
    pub ipv4: Ipv4Addr,
    /// Its inner IPv6 address, if the account wants one and the node has some.
    pub ipv6: Option<Ipv6Addr>,
}

/// What a request means for the rest of the node.
pub enum Change {
    /// The tunnel takes a new peer.
    Add(EnrolmentId, Peer),
    /// The tunnel forgets a peer; its session ends.
    Remove(EnrolmentId),
    /// The enrolment goes on under another ticket.
    Renew(EnrolmentId, Ticket),
}

/// What a client is told.
pub struct Granted {
    /// Its side of the tunnel.
    pub peer: Peer,
    /// End of the enrolment, in seconds since 1970.
    pub expires: u64,
}

/// All of what is known of an enrolled peer.
struct Enrolment {
    peer: Peer,
    /// Which pools its addresses go back to.
    class: Class,
    ticket: Ticket,
    expires: u64,
}

/// The enrolled peers of the node. Its memory is bounded by the address pools.
pub struct Registry {
    pools: Pools,
    /// Boxed: memory that is freed is zeroed, a place in a table is not.
    enrolments: HashMap<EnrolmentId, Box<Enrolment>>,
    by_key: Index,
    by_ticket: Index,
    /// No token ends before.
    next_end: u64,
    barred: Barred,
    next: u64,
    /// The node's own key, which is no peer's.
    node: PublicKey,
    random: ChaCha20Rng,
}

impl Registry {
    /// An empty registry of the node with the key `node`. The order of addresses
    /// comes from `seed`.
    pub fn new(pools: &settings::Pools, node: PublicKey, seed: [u8; 32]) -> Self {
        let mut random = ChaCha20Rng::from_seed(seed);
        Self {
            pools: Pools::new(pools, &mut random),
            enrolments: HashMap::new(),
            by_key: Index::new(random.next_u64(), random.next_u64()),
            by_ticket: Index::new(random.next_u64(), random.next_u64()),
            next_end: u64::MAX,
            barred: Barred::new(random.next_u64(), random.next_u64()),
            next: 0,
            node,
            random,
        }
    }

    /// Enrols a key under a verified token, or extends the key's enrolment.
    ///
    /// - The same key and token again: the same answer.
    /// - A key under another token: an extension if `bearer` is its pre-shared key. It is
    ///   enrolled anew if the new token gives it other addresses.
    /// - Another key under the same token: it takes the place of the first.
    ///
    /// # Errors
    /// `KeyLowOrder`, `KeyBarred`, `KeyTaken` or `PoolFull`; nothing has changed then.
    pub fn enrol(
        &mut self,
        claims: &Claims,
        key: PublicKey,
        bearer: Option<&PresharedKey>,
        now: Instant,
    ) -> Result<(Granted, Vec<Change>), Refusal> {
        if is_low_order(key) {
            return Err(Refusal::KeyLowOrder);
        }
        if key == self.node {
            return Err(Refusal::KeyTaken);
        }
        if self.barred.holds(key, now) {
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
    /// `NotThePeer`, also where there is no such peer.
    pub fn release(
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

    /// Ends an enrolment whose session was finally denied, and bars its key for 10 minutes.
    pub fn deny(&mut self, id: EnrolmentId, now: Instant) -> Option<Change> {
        let key = self.enrolments.get(&id)?.peer.public_key;
        self.barred.add(key, now);
        self.remove(id)
    }

    /// Ends the enrolments whose token has ended at `now`, in seconds since 1970, but those
    /// that `stays` holds on to.
    ///
    /// Tokens end at whole hours: to look through all enrolments then costs less than to keep them
    /// in the order of their ends.
    pub fn expire(&mut self, now: u64, stays: impl Fn(EnrolmentId) -> bool) -> Vec<Change> {
        if now < self.next_end {
            return Vec::new();
        }
        let mut ended = Vec::new();
        self.next_end = u64::MAX;
        for (&id, enrolment) in &self.enrolments {
            if enrolment.expires <= now && !stays(id) {
                ended.push(id);
            } else {
                self.next_end = self.next_end.min(enrolment.expires);
            }
        }
        ended.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The ticket that an enrolment goes by.
    pub fn ticket(&self, id: EnrolmentId) -> Option<Ticket> {
        self.enrolments.get(&id).map(|enrolment| enrolment.ticket)
    }

    /// Whether the default pool has no address left.
    pub fn is_full(&self) -> bool {
        self.pools.is_full()
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

    /// Whether the bearer is the peer's pre-shared key, in a time that tells nothing of it.
    fn is_peer(&self, id: EnrolmentId, bearer: Option<&PresharedKey>) -> bool {
        let (Some(enrolment), Some(bearer)) = (self.enrolments.get(&id), bearer) else {
            return false;
        };
        enrolment.peer.preshared_key.0.ct_eq(&bearer.0).into()
    }

    fn extend(
        &mut self,
        id: EnrolmentId,
        claims: &Claims,
    ) -> Result<(Granted, Vec<Change>), Refusal> {
        let other = self.of_ticket(claims.ticket);
        let other = other.filter(|other| *other != id);
        let mut changes: Vec<_> = other
            .and_then(|other| self.remove(other))
            .into_iter()
            .collect();
        let enrolment = self.enrolments.get_mut(&id).ok_or(Refusal::NotThePeer)?;
        let former = enrolment.ticket;
        if former != claims.ticket {
            enrolment.ticket = claims.ticket;
            enrolment.expires = claims.exp;
            self.by_ticket.remove(&former.0, id);
            self.enter_ticket(claims, id);
            changes.push(Change::Renew(id, claims.ticket));
        }
        let enrolment = self.enrolments.get(&id).ok_or(Refusal::NotThePeer)?;
        let granted = Granted {
            peer: enrolment.peer.clone(),
            expires: enrolment.expires,
        };
        Ok((granted, changes))
    }

    /// A new enrolment in the place of those that it replaces, which end first: -1 before +1.
    fn replace(
        &mut self,
        replaced: &[EnrolmentId],
        class: Class,
        claims: &Claims,
        key: PublicKey,
    ) -> Result<(Granted, Vec<Change>), Refusal> {
        let frees_a_place = |id| self.class_of(id) == Some(class);
        if !self.pools.has_room(class) && !replaced.iter().any(|id| frees_a_place(*id)) {
            return Err(Refusal::PoolFull);
        }
        let mut changes: Vec<_> = replaced.iter().filter_map(|id| self.remove(*id)).collect();
        let lease = self.pools.take(class).ok_or(Refusal::PoolFull)?;
        let mut preshared_key = PresharedKey([0; 32]);
        // Not of `random`: it makes a block at a time, and the next customers' keys would lie in
        // it, and wherever it was moved from, long before and after they are used.
        OsRng.fill_bytes(&mut preshared_key.0);
        let peer = Peer {
            public_key: key,
            preshared_key,
            ipv4: lease.ipv4,
            ipv6: lease.ipv6,
        };
        let id = self.insert(peer.clone(), class, claims);
        changes.push(Change::Add(id, peer.clone()));
        let expires = claims.exp;
        Ok((Granted { peer, expires }, changes))
    }

    fn insert(&mut self, peer: Peer, class: Class, claims: &Claims) -> EnrolmentId {
        let id = EnrolmentId(self.next);
        self.next += 1;
        self.enter_key(peer.public_key, id);
        self.enter_ticket(claims, id);
        let enrolment = Enrolment {
            peer,
            class,
            ticket: claims.ticket,
            expires: claims.exp,
        };
        self.enrolments.insert(id, Box::new(enrolment));
        id
    }

    fn remove(&mut self, id: EnrolmentId) -> Option<Change> {
        let enrolment = self.enrolments.remove(&id)?;
        self.by_key.remove(&enrolment.peer.public_key.0, id);
        self.by_ticket.remove(&enrolment.ticket.0, id);
        let lease = Lease {
            class: enrolment.class,
            ipv4: enrolment.peer.ipv4,
            ipv6: enrolment.peer.ipv6,
        };
        self.pools.put_back(lease, &mut self.random);
        Some(Change::Remove(id))
    }

    fn enter_key(&mut self, key: PublicKey, id: EnrolmentId) {
        let all = &self.enrolments;
        let of = |id| Some(&all.get(&id)?.peer.public_key.0[..]);
        self.by_key.insert(&key.0, id, of);
    }

    fn enter_ticket(&mut self, claims: &Claims, id: EnrolmentId) {
        let all = &self.enrolments;
        let of = |id| Some(&all.get(&id)?.ticket.0[..]);
        self.by_ticket.insert(&claims.ticket.0, id, of);
        self.next_end = self.next_end.min(claims.exp);
    }

    fn of_key(&self, key: PublicKey) -> Option<EnrolmentId> {
        let has = |id| self.enrolments.get(&id).map(|own| own.peer.public_key) == Some(key);
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

/// Whether a key gives the all-zero secret with any key (RFC 7748 section 6.1).
fn is_low_order(key: PublicKey) -> bool {
    let any = StaticSecret::from([1; 32]);
    !any.diffie_hellman(&key.0.into()).was_contributory()
}

#[cfg(test)]
mod tests;
