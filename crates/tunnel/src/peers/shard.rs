//! Several tunnels of one node, each on a thread of its own.
//!
//! A peer belongs to one of them, its shard, for as long as it is enrolled. Only one thread touches
//! its keys, its counters and its endpoint, so its packets stay in order and nothing is locked.
//! A packet that comes to another shard is handed over. The receiver index of a datagram determines
//! its shard, which is why a socket filter can send it there in the first place. The destination of
//! a frame determines its shard: a tunnel that does not have the address looks it up in a table
//! that all shards share. A packet that comes to its own shard needs no such look-up.
//!
//! The index also tells an eavesdropper the shard: a few bits that stay the same for an enrolment.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::HashTable;

use crate::Refusal;
use crate::spec::TRANSPORT;

/// The first byte of a datagram whose shard can be told from the datagram.
pub const SHARDED_KIND: u8 = TRANSPORT as u8;
/// The place of the byte that tells it: the shard is this byte modulo the number of shards. It is
/// the lowest byte of the receiver index that is ours; the one below it is boringtun's.
pub const SHARD_BYTE: usize = 5;
/// The most shards that a node may have.
pub const MAX_SHARDS: u8 = 64;

/// Which shard a tunnel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shard {
    pub number: u8,
    pub count: u8,
}

impl Shard {
    /// Checks that a receiver index is this shard's; `index` is its upper 24 bits.
    ///
    /// # Errors
    /// [`OfShard`](Refusal::OfShard) if it is another shard's.
    pub(crate) fn check(self, index: u32) -> Result<(), Refusal> {
        match index as u8 % self.count {
            number if number == self.number => Ok(()),
            other => Err(Refusal::OfShard(other)),
        }
    }

    /// Makes an index of this shard from any 24 bits.
    pub(crate) fn index(self, random: u32) -> u32 {
        let byte = random as u8;
        let first = byte - byte % self.count;
        // The last row of a byte's values is shorter: it does not hold every shard.
        let row = if usize::from(first) + usize::from(self.number) > 0xff {
            0
        } else {
            first
        };
        random & 0x00ff_ff00 | u32::from(row + self.number)
    }
}

/// Which shard has which inner address. Addresses are kept as hashes under a key of this boot. All
/// shards share one table.
#[derive(Clone, Default)]
pub(crate) struct AddressDirectory(Arc<RwLock<HashTable<AddressEntry>>>);

/// A hash, with the shard in place of one byte. That byte is neither one of those that choose the
/// place in the table nor one of those that the table compares first. Every idle peer has two
/// entries.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct AddressEntry(u64);

impl AddressEntry {
    const SHARD: u32 = 48;
    const HASH: u64 = !(0xff << Self::SHARD);

    fn new(hash: u64, shard: u8) -> Self {
        Self(hash & Self::HASH | u64::from(shard) << Self::SHARD)
    }

    fn hash(self) -> u64 {
        self.0 & Self::HASH
    }

    fn shard(self) -> u8 {
        (self.0 >> Self::SHARD) as u8
    }
}

impl AddressDirectory {
    pub(crate) fn insert(&self, hash: u64, shard: u8) {
        let entry = AddressEntry::new(hash, shard);
        self.write()
            .insert_unique(entry.hash(), entry, |other| other.hash());
    }

    pub(crate) fn remove(&self, hash: u64, shard: u8) {
        let gone = AddressEntry::new(hash, shard);
        if let Ok(mut found) = self.write().find_entry(gone.hash(), |entry| *entry == gone) {
            // The table only marks the place as free, so it is blanked here.
            *found.get_mut() = AddressEntry::default();
            found.remove();
        }
    }

    pub(crate) fn find(&self, hash: u64) -> Option<u8> {
        let hash = hash & AddressEntry::HASH;
        let table = self.read();
        let found = table.find(hash, |entry| entry.hash() == hash);
        found.map(|entry| entry.shard())
    }

    fn read(&self) -> RwLockReadGuard<'_, HashTable<AddressEntry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashTable<AddressEntry>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_belongs_to_the_shard_that_it_was_made_for() {
        for count in 1..=MAX_SHARDS {
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
        let directory = AddressDirectory::default();
        let hash = 0x0123_4567_89ab_cdef;
        directory.insert(hash, 0);
        directory.insert(hash, MAX_SHARDS - 1);
        directory.remove(hash, 0);
        assert_eq!(directory.find(hash), Some(MAX_SHARDS - 1));
        directory.remove(hash, 0);
        directory.remove(hash, MAX_SHARDS - 1);
        assert_eq!(directory.find(hash), None);
    }
}
