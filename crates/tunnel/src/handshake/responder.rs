//! Answers initiations, on a thread of its own: an answer costs hundreds of times what a packet
//! costs.

use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use super::admission::{Admission, Admitted, Denied};
use super::identity::{Identities, Identity, IdentityNumber};
use super::initiation::{Initiation, TimeStamp};
use crate::peers::Shard;
use crate::spec::{COOKIE_REPLY_LEN, RESPONSE_LEN};
use crate::transport::{Keypair, StaticKeys};
use crate::{Ecn, Outbox, PeerHandle, Refusal, SecretIndex};

/// What a [`Tunnel`](crate::Tunnel) gives its [`Responder`] to do.
pub enum HandshakeJob<Id> {
    /// Keep the keys of a peer.
    AddPeer {
        /// The peer.
        peer: PeerHandle<Id>,
        /// Its static public key.
        public_key: [u8; 32],
        /// The key that the node made for this peer.
        preshared_key: Zeroizing<[u8; 32]>,
    },
    /// Forget a peer.
    RemovePeer(PeerHandle<Id>),
    /// A session has begun: the peer's handshakes are rekeys from now on.
    BeginSession(PeerHandle<Id>),
    /// Forget the last handshake of a session that has ended.
    EndSession(EndedSession<Id>),
    /// Answer an initiation.
    Answer(Initiation),
    /// Answer an initiation again, because the index of the reply is another peer's.
    AnswerAgain(EndedSession<Id>, Initiation),
}

/// Names a session that has ended by its last handshake, or one that never began by its only one.
/// If the peer has made a newer handshake since, that belongs to a newer session and is kept.
pub struct EndedSession<Id> {
    pub(crate) peer: PeerHandle<Id>,
    pub(crate) index: u32,
}

/// The response to an initiation, with the keypair that was made for it.
pub struct HandshakeReply<Id> {
    pub(crate) peer: PeerHandle<Id>,
    pub(crate) keypair: Box<Keypair>,
    pub(crate) initiation: Initiation,
    pub(crate) response: [u8; RESPONSE_LEN],
}

impl<Id> HandshakeReply<Id> {
    /// The shard of the peer.
    pub fn shard(&self) -> u8 {
        self.peer.shard
    }
}

/// The handshake side of a node, without I/O: it admits initiations, finds the peer that each is
/// from, and answers each with a keypair of its own.
///
/// It keeps the keys of each enrolled peer, and the time stamp of the last handshake of each live
/// one: an initiation that is not newer is a recorded one.
///
/// - Input: [`handle_job`](Self::handle_job) with each job of [`Tunnel::poll_job`], in order. Jobs
///   of different tunnels may come in any order. The reply goes to [`Tunnel::handle_reply`] of the
///   reply's [shard](HandshakeReply::shard).
/// - Time: [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
///
/// [`Tunnel::poll_job`]: crate::Tunnel::poll_job
/// [`Tunnel::handle_reply`]: crate::Tunnel::handle_reply
pub struct Responder<Id> {
    identities: Identities,
    admission: Admission,
    /// At their [places](Self::place); as many as the tunnels have slots.
    peers: Vec<Option<PeerKeys<Id>>>,
    /// How many shards the peers are divided between.
    shards: u8,
    /// For receiver indices.
    random: ChaCha20Rng,
    /// Places by public key.
    directory: SecretIndex<u32>,
}

/// What the handshake side keeps of an enrolled peer. It is plain bytes, zeroed when dropped; what
/// only a live peer has is on the heap, which the process's allocator zeroes.
struct PeerKeys<Id> {
    id: Id,
    public_key: [u8; 32],
    preshared_key: [u8; 32],
    /// Whether it has a session that counts.
    is_live: bool,
    /// While the peer is live, or about to be.
    last_handshake: Option<Box<LastHandshake>>,
}

struct LastHandshake {
    timestamp: TimeStamp,
    index: u32,
    /// The node's static key that it was made with, and the secret that the key shares with the
    /// peer's.
    identity: IdentityNumber,
    static_shared: [u8; 32],
}

impl<Id: Copy + Eq> Responder<Id> {
    pub(crate) fn new(
        private_key: StaticSecret,
        hash_key: [u8; 16],
        mut random: ChaCha20Rng,
        shards: u8,
        processors: u8,
    ) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill_bytes(&mut *seed);
        let limiter_random = ChaCha20Rng::from_seed(*seed);
        Self {
            admission: Admission::new(limiter_random, processors),
            identities: Identities::new(private_key),
            peers: Vec::new(),
            shards,
            random,
            directory: SecretIndex::new(hash_key),
        }
    }

    /// Does a job of a [`Tunnel`](crate::Tunnel), and returns the reply to an initiation. If the
    /// initiation is answered with a cookie, that goes into the outbox.
    ///
    /// # Errors
    /// For an initiation, why it is not answered. For a peer, why it cannot be added:
    /// [`LowOrderKey`](Refusal::LowOrderKey) or [`OwnKey`](Refusal::OwnKey).
    pub fn handle_job(
        &mut self,
        job: HandshakeJob<Id>,
        out: &mut Outbox,
        now: Instant,
    ) -> Result<Option<HandshakeReply<Id>>, Refusal> {
        match job {
            HandshakeJob::AddPeer {
                peer,
                public_key,
                preshared_key,
            } => self
                .add_peer(peer, public_key, *preshared_key)
                .map(|()| None),
            HandshakeJob::RemovePeer(peer) => {
                self.remove_peer(peer);
                Ok(None)
            }
            HandshakeJob::BeginSession(peer) => {
                if let Some(keys) = self.keys_of(peer) {
                    keys.is_live = true;
                }
                Ok(None)
            }
            HandshakeJob::EndSession(ended) => {
                self.forget_handshake(&ended);
                if let Some(keys) = self.keys_of(ended.peer) {
                    keys.is_live = false;
                }
                Ok(None)
            }
            HandshakeJob::Answer(initiation) => self.answer(initiation, out, now).map(Some),
            HandshakeJob::AnswerAgain(taken, initiation) => {
                self.forget_handshake(&taken);
                self.answer(initiation, out, now).map(Some)
            }
        }
    }

    /// Takes a static key that the caller made, and returns its public key. Enrolments that are made
    /// or renewed from now on are to name it. The key before it answers for 36 hours more, until it is
    /// [retired](Self::retire_identities).
    pub fn add_identity(&mut self, private_key: Zeroizing<[u8; 32]>, now: Instant) -> [u8; 32] {
        let private_key = StaticSecret::from(*private_key);
        let public_key = PublicKey::from(&private_key);
        self.identities.add(private_key, now);
        public_key.to_bytes()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` while there is nothing to
    /// wait for.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.admission.poll_timeout()
    }

    /// Forgets the counts of a second that has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.admission.handle_timeout(now);
    }

    /// Destroys the static keys whose 36 hours have passed. The caller does so every few minutes,
    /// unless enrolments outlive their end.
    pub fn retire_identities(&mut self, now: Instant) {
        while let Some(gone) = self.identities.retire(now) {
            let keys = self.peers.iter_mut().flatten();
            let handshakes = keys.filter_map(|keys| keys.last_handshake.as_mut());
            for last in handshakes.filter(|last| last.identity == gone) {
                last.static_shared.zeroize();
            }
        }
    }

    /// Admits the initiation, and bills it as junk if it gets no answer.
    fn answer(
        &mut self,
        initiation: Initiation,
        out: &mut Outbox,
        now: Instant,
    ) -> Result<HandshakeReply<Id>, Refusal> {
        let Initiation { endpoint, bytes } = &initiation;
        let identity = self.identities.of(bytes).ok_or(Refusal::Mac1)?;
        let cookie = out.datagrams.room(COOKIE_REPLY_LEN);
        let source = endpoint.remote.ip();
        match self.admission.admit(identity, source, bytes, cookie, now) {
            Ok(admitted) => {
                let answered = self.answer_admitted(admitted, initiation, now);
                if answered.is_err() {
                    self.admission.bill_junk(admitted, now);
                }
                answered
            }
            Err(Denied::Refused(refusal)) => Err(refusal),
            Err(Denied::Cookie) => {
                out.datagrams
                    .keep((*endpoint, Ecn::NotEct), COOKIE_REPLY_LEN);
                Err(Refusal::CookieDemanded)
            }
        }
    }

    /// The static key of the initiation tells the peer, and the time stamp tells whether it is new.
    /// A key that is not enrolled gets no answer and leaves nothing.
    ///
    /// No time is kept of a session that has ended, so a recording of its initiation is answered
    /// once more. The session that this makes stays half open, unknown to the counter and without
    /// an endpoint.
    fn answer_admitted(
        &mut self,
        admitted: Admitted,
        initiation: Initiation,
        now: Instant,
    ) -> Result<HandshakeReply<Id>, Refusal> {
        let bytes = &initiation.bytes;
        let identity = self.identities.of(bytes).ok_or(Refusal::Mac1)?;
        let opened = identity.reader.open(bytes).ok_or(Refusal::Undecryptable)?;
        let place = self.find(&opened.static_key).ok_or(Refusal::UnknownPeer)?;
        let keys = keys_mut(&mut self.peers, place).ok_or(Refusal::UnknownPeer)?;
        let static_shared = keys.shared_with(identity);
        let timestamp = opened.timestamp(&static_shared).ok_or(Refusal::Handshake)?;
        let last = keys.last_handshake.as_ref();
        if last.is_some_and(|last| timestamp <= last.timestamp) {
            return Err(Refusal::Handshake);
        }
        self.admission
            .admit_answer(admitted, &keys.public_key, keys.is_live, now)?;
        let peer = peer_at(place, self.shards, keys.id);
        let shard = Shard {
            number: peer.shard,
            count: self.shards,
        };
        // Random for each handshake: but for the shard, nothing on the wire links two of one peer.
        let index = shard.index(self.random.next_u32() >> 8);
        let static_keys = StaticKeys {
            private_key: &identity.private_key,
            public_key: &keys.public_key,
            preshared_key: &keys.preshared_key,
        };
        let (keypair, response) =
            Keypair::respond(static_keys, index, identity.for_tunn(), bytes, now)
                .ok_or(Refusal::Handshake)?;
        keys.last_handshake = Some(Box::new(LastHandshake {
            timestamp,
            index,
            identity: identity.number,
            static_shared: *static_shared,
        }));
        Ok(HandshakeReply {
            peer,
            keypair,
            initiation,
            response,
        })
    }

    /// Adds a peer, although another may have the same key. The caller says whose a key is. It
    /// removes the older peer before it adds the newer one, but where they belong to different
    /// tunnels, the jobs may come the other way round. Each peer is added and removed by its own
    /// handle, so that in the end those are left that the caller means, whatever the order was.
    /// Until then the key leads to either.
    fn add_peer(
        &mut self,
        peer: PeerHandle<Id>,
        public_key: [u8; 32],
        preshared_key: [u8; 32],
    ) -> Result<(), Refusal> {
        // Any private key shows a public key of low order.
        let any_key = StaticSecret::from([1; 32]);
        let shared = any_key.diffie_hellman(&PublicKey::from(public_key));
        if !shared.was_contributory() {
            return Err(Refusal::LowOrderKey);
        }
        if self.identities.have(&public_key) {
            return Err(Refusal::OwnKey);
        }
        let place = self.place(peer);
        let at = place as usize;
        if self.peers.len() <= at {
            self.peers.resize_with(at + 1, || None);
        }
        self.peers[at] = Some(PeerKeys {
            id: peer.id,
            public_key,
            preshared_key,
            is_live: false,
            last_handshake: None,
        });
        let peers = &self.peers;
        self.directory.insert(&public_key, place, |place| {
            keys_ref(peers, place).map(|keys| &keys.public_key)
        });
        Ok(())
    }

    fn remove_peer(&mut self, peer: PeerHandle<Id>) {
        let place = self.place(peer);
        let keys = keys_ref(&self.peers, place).filter(|keys| keys.id == peer.id);
        let Some(keys) = keys else {
            return;
        };
        self.directory.remove(&keys.public_key, place);
        self.peers[place as usize] = None;
    }

    /// Forgets a peer's last handshake, unless it has made a newer one.
    fn forget_handshake(&mut self, ended: &EndedSession<Id>) {
        if let Some(keys) = self.keys_of(ended.peer) {
            keys.last_handshake
                .take_if(|last| last.index == ended.index);
        }
    }

    fn keys_of(&mut self, peer: PeerHandle<Id>) -> Option<&mut PeerKeys<Id>> {
        let place = self.place(peer);
        keys_mut(&mut self.peers, place).filter(|keys| keys.id == peer.id)
    }

    /// Where a peer is in `peers`: the slots of all shards, interleaved.
    fn place(&self, peer: PeerHandle<Id>) -> u32 {
        peer.slot * u32::from(self.shards) + u32::from(peer.shard)
    }

    fn find(&self, public_key: &[u8; 32]) -> Option<u32> {
        self.directory.find(public_key, |place| {
            keys_ref(&self.peers, place).is_some_and(|keys| keys.public_key == *public_key)
        })
    }
}

/// The peer at a [place](Responder::place).
fn peer_at<Id>(place: u32, shards: u8, id: Id) -> PeerHandle<Id> {
    PeerHandle {
        shard: (place % u32::from(shards)) as u8,
        slot: place / u32::from(shards),
        id,
    }
}

fn keys_ref<Id>(peers: &[Option<PeerKeys<Id>>], place: u32) -> Option<&PeerKeys<Id>> {
    peers.get(place as usize)?.as_ref()
}

fn keys_mut<Id>(peers: &mut [Option<PeerKeys<Id>>], place: u32) -> Option<&mut PeerKeys<Id>> {
    peers.get_mut(place as usize)?.as_mut()
}

impl<Id> PeerKeys<Id> {
    /// The secret that one of the node's static keys shares with the peer's. It is at hand if the
    /// peer's last handshake was with the same key.
    fn shared_with(&self, identity: &Identity) -> Zeroizing<[u8; 32]> {
        let last = self.last_handshake.as_ref();
        let at_hand = last.filter(|last| last.identity == identity.number);
        Zeroizing::new(match at_hand {
            Some(last) => last.static_shared,
            None => {
                let public_key = PublicKey::from(self.public_key);
                identity.private_key.diffie_hellman(&public_key).to_bytes()
            }
        })
    }
}

impl<Id> Drop for PeerKeys<Id> {
    fn drop(&mut self) {
        self.public_key.zeroize();
        self.preshared_key.zeroize();
    }
}
