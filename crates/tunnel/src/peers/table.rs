//! The table of enrolled peers.
//!
//! Peers are in slots, and one hash table leads from each name of a peer to its slot. The table
//! holds slot numbers and no names: a peer's names are gone once its slot has been zeroed.

use std::hash::Hash;
use std::net::IpAddr;

use super::peer::{InnerAddresses, NameKind, NotAdded, Peer, PeerConfig, PeerHandle, PeerName};
use super::shard::{AddressDirectory, Shard};
use crate::SecretIndex;
use crate::transport::{Role, Session};

pub(crate) struct Peers<Id> {
    /// As many as there were peers at once: [`MAX_PEERS`] at most, and no more than the caller has
    /// inner addresses for.
    slots: Vec<Option<Peer<Id>>>,
    /// Empty slots.
    free: Vec<u32>,
    directory: SecretIndex<DirectoryEntry>,
    shard: Shard,
    /// Shared by all shards.
    addresses: AddressDirectory,
}

/// The most peers that a shard may have: a slot number has as many bits as boringtun leaves of a
/// receiver index.
const MAX_PEERS: u32 = 1 << 24;

/// A slot that is empty, or the one behind `slots` others; `None` if there are [`MAX_PEERS`].
fn next_slot(free: &mut Vec<u32>, slots: usize) -> Option<u32> {
    let behind = || u32::try_from(slots).ok();
    free.pop().or_else(behind).filter(|&slot| slot < MAX_PEERS)
}

/// Says that the peer in a slot can be found by its name of this kind. It is small, as every idle
/// peer has three: [`MAX_PEERS`] fits three bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct DirectoryEntry {
    slot: [u8; 3],
    kind: NameKind,
}

impl DirectoryEntry {
    fn new(slot: u32, kind: NameKind) -> Self {
        let [low, middle, high, _] = slot.to_le_bytes();
        let slot = [low, middle, high];
        Self { slot, kind }
    }

    fn slot(self) -> u32 {
        let [low, middle, high] = self.slot;
        u32::from_le_bytes([low, middle, high, 0])
    }
}

/// A live peer, while one packet of it is handled. The peer is looked up once.
pub(crate) struct Live<'a, Id> {
    pub id: Id,
    pub addresses: &'a InnerAddresses,
    pub session: &'a mut Session,
}

impl<Id: Copy + Eq + Hash> Peers<Id> {
    /// An empty table of a shard. `hash_key` keeps clients from choosing keys that collide; it and
    /// `addresses` are the same for all shards.
    pub(crate) fn new(hash_key: [u8; 16], shard: Shard, addresses: AddressDirectory) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            directory: SecretIndex::new(hash_key),
            shard,
            addresses,
        }
    }

    /// Adds a peer.
    ///
    /// # Errors
    /// [`AddressTaken`](NotAdded::AddressTaken) if another peer of this shard has one of its
    /// addresses, [`ShardFull`](NotAdded::ShardFull) if there are [`MAX_PEERS`].
    pub(crate) fn add(&mut self, id: Id, config: &PeerConfig) -> Result<PeerHandle<Id>, NotAdded> {
        self.check_free(config)?;
        let slot = next_slot(&mut self.free, self.slots.len()).ok_or(NotAdded::ShardFull)?;
        if self.slots.len() <= slot as usize {
            self.slots.push(None);
        }
        self.slots[slot as usize] = Some(Peer::new(id, config));
        self.insert_entry(DirectoryEntry::new(slot, NameKind::Id));
        for kind in [NameKind::Ipv4, NameKind::Ipv6] {
            self.insert_entry(DirectoryEntry::new(slot, kind));
            if let Some(hash) = self.shared_hash(DirectoryEntry::new(slot, kind)) {
                self.addresses.insert(hash, self.shard.number);
            }
        }
        Ok(self.handle_of(slot, id))
    }

    /// Forgets the peer in a slot, whose session must have ended.
    pub(crate) fn remove(&mut self, slot: u32) {
        self.remove_entry(DirectoryEntry::new(slot, NameKind::Id));
        for kind in [NameKind::Ipv4, NameKind::Ipv6] {
            self.remove_entry(DirectoryEntry::new(slot, kind));
            if let Some(hash) = self.shared_hash(DirectoryEntry::new(slot, kind)) {
                self.addresses.remove(hash, self.shard.number);
            }
        }
        if let Some(peer) = self.slots.get_mut(slot as usize) {
            *peer = None;
            self.free.push(slot);
        }
    }

    /// Changes the keypairs of the session of the peer in a slot, and updates the indices that the
    /// peer is found by. A new index must be [free](Self::find).
    pub(crate) fn change<R>(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut Option<Box<Session>>) -> R,
    ) -> Option<R> {
        let entries = Role::ALL.map(|role| DirectoryEntry::new(slot, NameKind::Index(role)));
        entries.iter().for_each(|&entry| self.remove_entry(entry));
        let changed = self.peer_mut(slot).map(|peer| change(&mut peer.session));
        entries.iter().for_each(|&entry| self.insert_entry(entry));
        changed
    }

    /// The slot of the peer that has a name.
    pub(crate) fn find(&self, name: PeerName<Id>) -> Option<u32> {
        let found = self
            .directory
            .find(&name, |entry| self.name(entry) == Some(name));
        found.map(DirectoryEntry::slot)
    }

    /// The other shard that has an address.
    pub(crate) fn find_shard(&self, address: PeerName<Id>) -> Option<u8> {
        let shard = self.addresses.find(self.directory.hash(&address));
        shard.filter(|&shard| shard != self.shard.number)
    }

    /// The slot of a peer, if it is still enrolled.
    pub(crate) fn slot(&self, handle: PeerHandle<Id>) -> Option<u32> {
        self.peer(handle.slot)
            .filter(|peer| peer.id == handle.id)
            .map(|_| handle.slot)
    }

    /// The handle of the peer in a slot.
    pub(crate) fn handle(&self, slot: u32) -> Option<PeerHandle<Id>> {
        let id = self.peer(slot)?.id;
        Some(self.handle_of(slot, id))
    }

    pub(crate) fn peer(&self, slot: u32) -> Option<&Peer<Id>> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn peer_mut(&mut self, slot: u32) -> Option<&mut Peer<Id>> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// The peer in a slot, if it has a session.
    pub(crate) fn live(&mut self, slot: u32) -> Option<Live<'_, Id>> {
        let peer = self.slots.get_mut(slot as usize)?.as_mut()?;
        Some(Live {
            id: peer.id,
            addresses: &peer.addresses,
            session: peer.session.as_deref_mut()?,
        })
    }

    fn handle_of(&self, slot: u32, id: Id) -> PeerHandle<Id> {
        let shard = self.shard.number;
        PeerHandle { shard, slot, id }
    }

    /// The hash of an address, if there are other shards to find it.
    fn shared_hash(&self, entry: DirectoryEntry) -> Option<u64> {
        let name = self.name(entry).filter(|_| self.shard.count > 1)?;
        Some(self.directory.hash(&name))
    }

    fn check_free(&self, config: &PeerConfig) -> Result<(), NotAdded> {
        let ipv4 = IpAddr::from(config.ipv4);
        let mut addresses = [Some(ipv4), config.ipv6.map(IpAddr::from)]
            .into_iter()
            .flatten();
        if addresses.any(|address| self.find(address.into()).is_some()) {
            return Err(NotAdded::AddressTaken);
        }
        Ok(())
    }

    fn insert_entry(&mut self, entry: DirectoryEntry) {
        if let Some(name) = self.name(entry) {
            let slots = &self.slots;
            self.directory
                .insert(name, entry, |other| name_in(slots, other));
        }
    }

    fn remove_entry(&mut self, entry: DirectoryEntry) {
        if let Some(name) = self.name(entry) {
            self.directory.remove(&name, entry);
        }
    }

    fn name(&self, entry: DirectoryEntry) -> Option<PeerName<Id>> {
        name_in(&self.slots, entry)
    }
}

/// The name that an entry says a peer can be found by.
fn name_in<Id: Copy>(slots: &[Option<Peer<Id>>], entry: DirectoryEntry) -> Option<PeerName<Id>> {
    let peer = slots.get(entry.slot() as usize)?.as_ref()?;
    peer.name(entry.kind)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use zeroize::Zeroizing;

    use super::*;

    fn peers() -> Peers<u64> {
        let shard = Shard {
            number: 0,
            count: 1,
        };
        Peers::new([1; 16], shard, AddressDirectory::default())
    }

    fn peer_config(number: u32) -> PeerConfig {
        let mut public_key = [0; 32];
        public_key[..4].copy_from_slice(&number.to_le_bytes());
        PeerConfig {
            public_key,
            preshared_key: Zeroizing::new([7; 32]),
            ipv4: Ipv4Addr::from(0x0a40_0000 + number),
            ipv6: Some(Ipv6Addr::from(u128::from(number))),
        }
    }

    #[test]
    fn there_is_a_slot_for_2_to_the_24_peers_and_each_has_an_entry_of_its_own() {
        let last = MAX_PEERS - 1;
        assert_eq!(next_slot(&mut Vec::new(), last as usize), Some(last));
        assert_eq!(next_slot(&mut Vec::new(), MAX_PEERS as usize), None);
        assert_eq!(next_slot(&mut vec![7], MAX_PEERS as usize), Some(7));
        assert_eq!(DirectoryEntry::new(last, NameKind::Id).slot(), last);
    }

    #[test]
    fn an_idle_peer_costs_at_most_512_bytes() {
        for count in [1_000, 10_000, 40_000] {
            let mut peers = peers();
            for number in 0..count {
                peers.add(number.into(), &peer_config(number)).unwrap();
            }
            let bytes = peers.slots.capacity() * size_of::<Option<Peer<u64>>>()
                + peers.directory.allocation_size();
            assert!(bytes / count as usize <= 512, "{}", bytes / count as usize);
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_found_by_none_of_its_names() {
        let mut peers = peers();
        let handles: Vec<_> = (0..100)
            .map(|number| peers.add(number.into(), &peer_config(number)).unwrap())
            .collect();
        let gone = peer_config(50);
        peers.remove(peers.slot(handles[50]).unwrap());
        assert_eq!(peers.slot(handles[50]), None);
        assert_eq!(peers.find(PeerName::Id(50)), None);
        assert_eq!(peers.find(PeerName::Ipv4(gone.ipv4.octets())), None);
        assert_eq!(
            peers.find(PeerName::Ipv6(gone.ipv6.unwrap().octets())),
            None
        );
        assert_eq!(peers.directory.len(), 99 * 3);
        for number in (0..100).filter(|&number| number != 50) {
            let slot = peers.find(PeerName::Ipv4(peer_config(number).ipv4.octets()));
            assert_eq!(slot, peers.slot(handles[number as usize]));
        }
    }
}
