//! Who answers initiations, on a thread of its own: an answer costs hundreds of times what a
//! packet costs.

use std::time::Instant;

use hashbrown::HashTable;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use siphasher::sip::SipHasher13;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use crate::gate::{Gate, Stopped};
use crate::initiation::{Initiation, Reader, TimeStamp};
use crate::keys::{Keypair, StaticKeys};
use crate::shard::Shard;
use crate::spec::{COOKIE_REPLY_LEN, RESPONSE_LEN};
use crate::{Ecn, Outbox, PeerId, Refusal};

/// What a [`Tunnel`](crate::Tunnel) wants of its [`Responder`].
pub enum Order {
    /// Know a peer.
    Enrol {
        /// Which.
        peer: PeerId,
        /// Its static public key.
        public_key: [u8; 32],
        /// The key that the node made for this peer.
        preshared_key: Zeroizing<[u8; 32]>,
    },
    /// Forget a peer.
    Remove(PeerId),
    /// The peer's session is over: forget when its last handshake was.
    Forget(Over),
    /// Answer an initiation.
    Answer(Initiation),
}

/// A session that is over, by its last handshake. After a newer one there is a newer session.
pub struct Over {
    pub(crate) peer: PeerId,
    pub(crate) index: u32,
}

/// The answer to an initiation, with the keypair that it made.
pub struct Answer {
    pub(crate) peer: PeerId,
    pub(crate) keypair: Box<Keypair>,
    pub(crate) initiation: Initiation,
    pub(crate) response: [u8; RESPONSE_LEN],
}

impl Answer {
    /// The shard that it is for.
    pub fn shard(&self) -> u8 {
        self.peer.shard
    }
}

/// The handshake side of a node: admits initiations, finds out whose they are, and answers each
/// with keys of its own, without I/O.
///
/// It knows of each enrolled peer its keys, and of a live one the time stamp of its last
/// handshake: an initiation that is not newer is a recorded one.
///
/// - Input: [`carry_out`](Self::carry_out) with each order of [`Tunnel::poll_order`], in order;
///   an answer goes to [`Tunnel::handle_answer`] of the answer's [shard](Answer::shard).
/// - Time: [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
///
/// [`Tunnel::poll_order`]: crate::Tunnel::poll_order
/// [`Tunnel::handle_answer`]: crate::Tunnel::handle_answer
pub struct Responder {
    private_key: StaticSecret,
    reader: Reader,
    gate: Gate,
    /// By their [places](Self::place).
    peers: Vec<Option<Known>>,
    /// So many share the peers.
    shards: u8,
    /// For receiver indices.
    random: ChaCha20Rng,
    directory: HashTable<u32>,
    hasher: SipHasher13,
}

/// What the handshake side knows of an enrolled peer; plain bytes, zeroed when dropped, and on the
/// heap, which the process's allocator zeroes, what only a live peer has.
struct Known {
    number: u64,
    public_key: [u8; 32],
    preshared_key: [u8; 32],
    /// What the node's static key shares with the peer's.
    shared: [u8; 32],
    /// While it is live.
    latest: Option<Box<Latest>>,
}

/// A peer's last handshake.
struct Latest {
    timestamp: TimeStamp,
    index: u32,
}

impl Responder {
    pub(crate) fn new(
        private_key: StaticSecret,
        hash_key: [u8; 16],
        mut random: ChaCha20Rng,
        shards: u8,
    ) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut *seed);
        let limiter_random = ChaCha20Rng::from_seed(*seed);
        Self {
            gate: Gate::new(&PublicKey::from(&private_key), limiter_random),
            reader: Reader::new(private_key.clone()),
            private_key,
            peers: Vec::new(),
            shards,
            random,
            directory: HashTable::new(),
            hasher: SipHasher13::new_with_key(&hash_key),
        }
    }

    /// Does what a [`Tunnel`](crate::Tunnel) wants; gives the answer to an initiation. A cookie
    /// for it goes into the outbox.
    ///
    /// # Errors
    /// Why an initiation gets no answer, or why a peer cannot be: `LowOrderKey`, `KeyTaken`.
    pub fn carry_out(
        &mut self,
        order: Order,
        out: &mut Outbox,
        now: Instant,
    ) -> Result<Option<Answer>, Refusal> {
        match order {
            Order::Enrol {
                peer,
                public_key,
                preshared_key,
            } => self.enrol(peer, public_key, *preshared_key).map(|()| None),
            Order::Remove(peer) => {
                self.remove(peer);
                Ok(None)
            }
            Order::Forget(over) => {
                self.forget(&over);
                Ok(None)
            }
            Order::Answer(initiation) => self.answer(initiation, out, now).map(Some),
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` while there is
    /// nothing to wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.gate.poll_timeout()
    }

    /// Forgets the counts of a second that is over.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.gate.handle_timeout(now);
    }

    /// Admitted first; then its static key names the peer, and its time stamp tells whether it is
    /// new. A key that is not enrolled gets no answer and leaves nothing.
    ///
    /// No time is kept of a session that is over, so a recording of it is answered once more. What
    /// it makes stays half open, unknown to the counter and without endpoint.
    fn answer(
        &mut self,
        initiation: Initiation,
        out: &mut Outbox,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        let Initiation { endpoint, bytes } = &initiation;
        let cookie = out.datagrams.room(COOKIE_REPLY_LEN);
        match self.gate.admit(endpoint.remote.ip(), bytes, cookie, now) {
            Ok(()) => {}
            Err(Stopped::Refused(refusal)) => return Err(refusal),
            Err(Stopped::Cookie) => {
                out.datagrams
                    .keep((*endpoint, Ecn::NotEct), COOKIE_REPLY_LEN);
                return Err(Refusal::CookieDemanded);
            }
        }
        let half = self.reader.read(bytes).ok_or(Refusal::Undecryptable)?;
        let slot = self.find(&half.static_key).ok_or(Refusal::UnknownPeer)?;
        let known = slot_mut(&mut self.peers, slot).ok_or(Refusal::UnknownPeer)?;
        let timestamp = half.timestamp(&known.shared).ok_or(Refusal::Handshake)?;
        let latest = known.latest.as_ref();
        if latest.is_some_and(|latest| timestamp <= latest.timestamp) {
            return Err(Refusal::Handshake);
        }
        let peer = peer_at(slot, self.shards, known.number);
        let shard = Shard {
            number: peer.shard,
            count: self.shards,
        };
        // A new one for each handshake: but for the shard, nothing on the wire joins two of a peer.
        let index = shard.index(self.random.next_u32() >> 8);
        let static_keys = StaticKeys {
            private_key: &self.private_key,
            public_key: &known.public_key,
            preshared_key: &known.preshared_key,
        };
        let (keypair, response) =
            Keypair::respond(static_keys, index, self.gate.for_tunn(), bytes, now)
                .ok_or(Refusal::Handshake)?;
        known.latest = Some(Box::new(Latest { timestamp, index }));
        Ok(Answer {
            peer,
            keypair,
            initiation,
            response,
        })
    }

    fn enrol(
        &mut self,
        peer: PeerId,
        public_key: [u8; 32],
        preshared_key: [u8; 32],
    ) -> Result<(), Refusal> {
        let shared = self
            .private_key
            .diffie_hellman(&PublicKey::from(public_key));
        if !shared.was_contributory() {
            return Err(Refusal::LowOrderKey);
        }
        let own = PublicKey::from(&self.private_key);
        if public_key == *own.as_bytes() || self.find(&public_key).is_some() {
            return Err(Refusal::KeyTaken);
        }
        let place = self.place(peer);
        let slot = place as usize;
        if self.peers.len() <= slot {
            self.peers.resize_with(slot + 1, || None);
        }
        self.peers[slot] = Some(Known {
            number: peer.number,
            public_key,
            preshared_key,
            shared: shared.to_bytes(),
            latest: None,
        });
        let Self {
            peers,
            directory,
            hasher,
            ..
        } = self;
        directory.insert_unique(hasher.hash(&public_key), place, |&slot| {
            slot_ref(peers, slot).map_or(0, |known| hasher.hash(&known.public_key))
        });
        Ok(())
    }

    fn remove(&mut self, peer: PeerId) {
        let place = self.place(peer);
        let known = slot_ref(&self.peers, place).filter(|known| known.number == peer.number);
        let Some(known) = known else {
            return;
        };
        let hash = self.hasher.hash(&known.public_key);
        if let Ok(found) = self.directory.find_entry(hash, |&slot| slot == place) {
            found.remove();
        }
        self.peers[place as usize] = None;
    }

    fn forget(&mut self, over: &Over) {
        let place = self.place(over.peer);
        let known = slot_mut(&mut self.peers, place);
        if let Some(known) = known.filter(|known| known.number == over.peer.number) {
            known.latest.take_if(|latest| latest.index == over.index);
        }
    }

    /// Where a peer is kept: the slots of the shards by turns.
    fn place(&self, peer: PeerId) -> u32 {
        peer.slot * u32::from(self.shards) + u32::from(peer.shard)
    }

    fn find(&self, public_key: &[u8; 32]) -> Option<u32> {
        let is_it = |&slot: &u32| {
            slot_ref(&self.peers, slot).is_some_and(|known| known.public_key == *public_key)
        };
        self.directory
            .find(self.hasher.hash(public_key), is_it)
            .copied()
    }
}

/// The peer that is kept at a [place](Responder::place).
fn peer_at(place: u32, shards: u8, number: u64) -> PeerId {
    PeerId {
        shard: (place % u32::from(shards)) as u8,
        slot: place / u32::from(shards),
        number,
    }
}

fn slot_ref(peers: &[Option<Known>], slot: u32) -> Option<&Known> {
    peers.get(slot as usize)?.as_ref()
}

fn slot_mut(peers: &mut [Option<Known>], slot: u32) -> Option<&mut Known> {
    peers.get_mut(slot as usize)?.as_mut()
}

impl Drop for Known {
    fn drop(&mut self) {
        self.public_key.zeroize();
        self.preshared_key.zeroize();
        self.shared.zeroize();
    }
}
