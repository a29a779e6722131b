//! Several tunnels that are one node's, each on a thread of its own.
//!
//! A peer belongs to one of them, its shard, for as long as it is enrolled: one thread alone touches
//! its keys, its counters and its endpoint, so its packets stay in order and nothing is locked.
//! What comes to another shard is handed over. Of a datagram the receiver index tells the shard,
//! which is why a filter of the socket can send it there in the first place. Of a frame the
//! destination does: a shard that does not know it looks into a table that all share, which no
//! packet needs that comes where it belongs.
//!
//! The index tells an eavesdropper the shard, too: a few bits that stay the same for an enrolment.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

use crate::Refusal;
use crate::spec::TRANSPORT;

/// The first byte of a datagram whose shard can be told.
pub const SHARDED_KIND: u8 = TRANSPORT as u8;
/// The byte of such a datagram that tells it, by what is left of it divided by the number of
/// shards: the lowest of ours in the receiver index, above the one that is boringtun's.
pub const SHARD_BYTE: usize = 5;
/// So many shards there may be.
pub const MOST_SHARDS: u8 = 64;

/// Which shard a tunnel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    pub number: u8,
    pub count: u8,
}

impl Shard {
    /// Refuses what another shard owns by its receiver index, of which `index` is the upper 24
    /// bits.
    pub fn check(self, index: u32) -> Result<(), Refusal> {
        match index as u8 % self.count {
            number if number == self.number => Ok(()),
            other => Err(Refusal::OfShard(other)),
        }
    }

    /// Makes an index of this shard of any 24 bits.
    pub fn index(self, random: u32) -> u32 {
        let byte = random as u8;
        let first = byte - byte % self.count;
        // The last, shorter row of a byte's values has not all shards in it.
        let row = if usize::from(first) + usize::from(self.number) > 0xff {
            0
        } else {
            first
        };
        random & 0x00ff_ff00 | u32::from(row + self.number)
    }
}

/// The shards of inner addresses, which are kept as hashes under a key of this boot. All shards
/// hold the same table.
#[derive(Clone, Default)]
pub(crate) struct Owners(Arc<RwLock<HashTable<Entry>>>);

/// A hash with its owner in the place of one byte: neither of those that choose the place in the
/// table nor of those that it compares first. Every idle peer has two.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Entry(u64);

impl Entry {
    const OWNER: u32 = 48;
    const HASH: u64 = !(0xff << Self::OWNER);

    fn new(hash: u64, owner: u8) -> Self {
        Self(hash & Self::HASH | u64::from(owner) << Self::OWNER)
    }

    fn hash(self) -> u64 {
        self.0 & Self::HASH
    }

    fn owner(self) -> u8 {
        (self.0 >> Self::OWNER) as u8
    }
}

impl Owners {
    pub fn enter(&self, hash: u64, owner: u8) {
        let entry = Entry::new(hash, owner);
        self.write()
            .insert_unique(entry.hash(), entry, |other| other.hash());
    }

    pub fn strike(&self, hash: u64, owner: u8) {
        let gone = Entry::new(hash, owner);
        if let Ok(mut found) = self.write().find_entry(gone.hash(), |entry| *entry == gone) {
            // Its place is only marked as free.
            *found.get_mut() = Entry::default();
            found.remove();
        }
    }

    pub fn find(&self, hash: u64) -> Option<u8> {
        let hash = hash & Entry::HASH;
        let table = self.read();
        let found = table.find(hash, |entry| entry.hash() == hash);
        found.map(|entry| entry.owner())
    }

    fn read(&self) -> RwLockReadGuard<'_, HashTable<Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashTable<Entry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_belongs_to_the_shard_that_it_was_made_for() {
        for count in 1..=MOST_SHARDS {
            for number in 0..count {
                let shard = Shard { number, count };
                for byte in 0..=0xff {
                    let index = shard.index(0x12_3400 | byte);
                    assert_eq!(shard.check(index), Ok(()));
                    assert_eq!(index >> 8, 0x1234);
                }
            }
        }
    }

    #[test]
    fn an_address_that_went_from_one_shard_to_another_is_found_at_the_other() {
        let owners = Owners::default();
        let hash = 0x0123_4567_89ab_cdef;
        owners.enter(hash, 0);
        owners.enter(hash, MOST_SHARDS - 1);
        owners.strike(hash, 0);
        assert_eq!(owners.find(hash), Some(MOST_SHARDS - 1));
        owners.strike(hash, 0);
        owners.strike(hash, MOST_SHARDS - 1);
        assert_eq!(owners.find(hash), None);
    }
}
