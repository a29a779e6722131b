//! The tunnel of a node: all peers, one state machine.

mod inbound;
mod outbound;

use std::collections::VecDeque;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Instant;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::config::InnerNetwork;
use crate::handshake::{EndedSession, HandshakeJob, Responder};
use crate::peers::{AddressDirectory, Live, MAX_SHARDS, PeerName, Peers, Shard, Wheel};
use crate::transport::Session;
use crate::{AddressTaken, Config, Ecn, Outbox, PeerConfig};

/// What the counter must hear of. No key, address or other value of a peer crosses here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<Id> {
    /// A transport packet of the peer authenticated: its session counts from now.
    SessionUp(Id),
    /// The session is over, and with it all that it left behind but the enrolment.
    SessionDown(Id),
}

/// WireGuard for many peers, without I/O: those of one shard.
///
/// - Commands: [`add_peer`](Self::add_peer), [`end_session`](Self::end_session),
///   [`remove_peer`](Self::remove_peer).
/// - Inputs: [`handle_datagram`](Self::handle_datagram), [`handle_frame`](Self::handle_frame),
///   [`handle_reply`](Self::handle_reply), and [`handle_timeout`](Self::handle_timeout) at
///   [`poll_timeout`](Self::poll_timeout). Each appends to the [`Outbox`] that it is given.
/// - After any of them, and after commands: carry out and clear the outbox, drain
///   [`poll_event`](Self::poll_event), hand what [`poll_job`](Self::poll_job) gives to the
///   [`Responder`], and ask `poll_timeout` again.
///
/// `now` never goes back. A refused input changed nothing that a peer could notice. What is
/// refused as [another shard's](crate::Refusal::OfShard) is for that shard's tunnel.
pub struct Tunnel<Id> {
    inner_network: InnerNetwork,
    public_key: PublicKey,
    shard: Shard,
    peers: Peers<Id>,
    wheel: Wheel,
    events: VecDeque<Event<Id>>,
    jobs: VecDeque<HandshakeJob<Id>>,
}

impl<Id: Copy + Eq + Hash> Tunnel<Id> {
    /// Makes `shards` tunnels without peers (at least one, at most [`MAX_SHARDS`]), and the
    /// responder for all of them. All randomness of ours comes from `seed`.
    pub fn sharded(config: &Config, seed: [u8; 32], shards: u8) -> (Vec<Self>, Responder<Id>) {
        let count = shards.clamp(1, MAX_SHARDS);
        let private_key = StaticSecret::from(*config.private_key);
        let public_key = PublicKey::from(&private_key);
        let mut random = ChaCha20Rng::from_seed(seed);
        let mut hash_key = [0; 16];
        random.fill_bytes(&mut hash_key);
        let addresses = AddressDirectory::default();
        let tunnels = (0..count).map(|number| {
            let shard = Shard { number, count };
            Self {
                shard,
                peers: Peers::new(hash_key, shard, addresses.clone()),
                wheel: Wheel::default(),
                events: VecDeque::new(),
                jobs: VecDeque::new(),
                inner_network: InnerNetwork {
                    mtu: config.mtu.into(),
                    ipv4: config.ipv4,
                    ipv6: config.ipv6,
                    pools: config.pools.clone(),
                },
                public_key,
            }
        });
        let tunnels = tunnels.collect();
        (
            tunnels,
            Responder::new(private_key, hash_key, random, count),
        )
    }

    /// Which of the node's tunnels it is, from 0.
    pub fn shard(&self) -> u8 {
        self.shard.number
    }

    /// The node's static public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key.to_bytes()
    }

    /// Adds a peer, under an id that no other peer has, had or will have. It takes a few hundred bytes until it connects. If the responder refuses its
    /// key, it can never connect.
    ///
    /// # Errors
    /// [`AddressTaken`] if another peer or the node has one of its inner addresses. Nothing of the
    /// peer is kept then.
    pub fn add_peer(&mut self, id: Id, config: PeerConfig) -> Result<(), AddressTaken> {
        let node = &self.inner_network;
        let ipv6 = config.ipv6.map(IpAddr::from);
        if node.owns(config.ipv4.into()) || ipv6.is_some_and(|address| node.owns(address)) {
            return Err(AddressTaken);
        }
        let peer = self.peers.add(id, &config)?;
        self.jobs.push_back(HandshakeJob::AddPeer {
            peer,
            public_key: config.public_key,
            preshared_key: config.preshared_key,
        });
        Ok(())
    }

    /// The inner addresses of a peer; none of one that is gone.
    pub fn addresses(&self, id: Id) -> impl Iterator<Item = IpAddr> {
        let slot = self.peers.find(PeerName::Id(id));
        let peer = slot.and_then(|slot| self.peers.peer(slot));
        peer.into_iter().flat_map(|peer| peer.addresses.iter())
    }

    /// Ends the peer's session, if it has one; the peer stays enrolled and may come back.
    pub fn end_session(&mut self, id: Id) {
        if let Some(slot) = self.peers.find(PeerName::Id(id)) {
            self.end(slot);
        }
    }

    /// Forgets the peer; ends its session first. A peer that is gone already may be named.
    pub fn remove_peer(&mut self, id: Id) {
        let slot = self.peers.find(PeerName::Id(id));
        let peer = slot.and_then(|slot| self.peers.handle(slot));
        if let Some(peer) = peer {
            self.end(peer.slot);
            self.peers.remove(peer.slot);
            self.jobs.push_back(HandshakeJob::RemovePeer(peer));
        }
    }

    /// Does what is due: expired sessions end, keepalives that are owed go out.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(mut spoke) = self.wheel.take(now) {
            spoke.slots.retain(|&slot| self.tick(slot, out, now));
            self.wheel.put_back(spoke);
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called; `None` while there is
    /// nothing to wait for, which enrolled peers without a session are not.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout()
    }

    /// The next event, until there is none.
    pub fn poll_event(&mut self) -> Option<Event<Id>> {
        self.events.pop_front()
    }

    /// The next job for the responder, until there is none.
    pub fn poll_job(&mut self) -> Option<HandshakeJob<Id>> {
        let job = self.jobs.pop_front();
        if self.jobs.is_empty() {
            // With its memory, where keys were.
            self.jobs = VecDeque::new();
        }
        job
    }

    /// Ends a session whose peer has been silent for too long, if no tick has done so yet.
    fn end_if_expired(&mut self, slot: u32, now: Instant) {
        let session = self.peers.peer(slot).and_then(|peer| peer.session.as_ref());
        if session.is_some_and(|session| session.is_expired(now)) {
            self.end(slot);
        }
    }

    /// Drops the session of the peer in a slot with all that belongs to it.
    fn end(&mut self, slot: u32) {
        let Some(session) = self.peers.change(slot, Option::take).flatten() else {
            return;
        };
        self.wheel.remove(slot);
        let Some(peer) = self.peers.handle(slot) else {
            return;
        };
        let index = session.newest_index;
        self.jobs
            .push_back(HandshakeJob::EndSession(EndedSession { peer, index }));
        if session.is_up() {
            self.events.push_back(Event::SessionDown(peer.id));
        }
    }

    /// Ticks the session of the peer in a slot; whether there is still one.
    fn tick(&mut self, slot: u32, out: &mut Outbox, now: Instant) -> bool {
        self.end_if_expired(slot, now);
        let Some(Live { session, .. }) = self.peers.live(slot) else {
            return false;
        };
        if let Some(endpoint) = session.tick(out.datagrams.room(Session::TICK_ROOM), now) {
            out.datagrams
                .keep((endpoint, Ecn::NotEct), Session::TICK_ROOM);
        }
        if session.has_stale_keypairs(now) {
            self.peers.change(slot, |session| {
                if let Some(session) = session {
                    session.drop_stale_keypairs(now);
                }
            });
        }
        true
    }
}
