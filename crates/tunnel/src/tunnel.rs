//! The tunnel of a shard: all its peers as one state machine. This file is the contract;
//! `inbound.rs` handles what comes from the network, `outbound.rs` what comes from the TUN device.

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
use crate::{Config, Ecn, NotAdded, Outbox, PeerConfig};

/// What the counter has to know, by the id that the caller gave the peer. No key, address or other
/// value of a peer is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<Id> {
    /// The first transport packet of the peer's session authenticated: the session counts from now.
    SessionUp(Id),
    /// The peer's session has ended. Only the peer's enrolment is still kept.
    SessionDown(Id),
}

/// WireGuard for the peers of one shard, without I/O.
///
/// Peers are named by the caller: an `Id` must never be used for a second peer.
///
/// - Commands: [`add_peer`](Self::add_peer), [`end_session`](Self::end_session),
///   [`remove_peer`](Self::remove_peer).
/// - Inputs: [`handle_datagram`](Self::handle_datagram), [`handle_frame`](Self::handle_frame),
///   [`handle_reply`](Self::handle_reply), and [`handle_timeout`](Self::handle_timeout) at
///   [`poll_timeout`](Self::poll_timeout). Each appends to the [`Outbox`] that it is given.
/// - After any of them, and after commands: send, write and clear the outbox, drain
///   [`poll_event`](Self::poll_event), hand the jobs of [`poll_job`](Self::poll_job) to the
///   [`Responder`], and ask `poll_timeout` again.
///
/// `now` never goes back. A refused input has changed nothing that a peer could notice. An input
/// that is refused as [another shard's](crate::Refusal::OfShard) is for the tunnel of that shard.
pub struct Tunnel<Id> {
    inner_network: InnerNetwork,
    public_key: PublicKey,
    shard: Shard,
    peers: Peers<Id>,
    wheel: Wheel,
    /// Like `jobs`, it holds what one batch of calls made: the caller drains both after each.
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
            Responder::new(private_key, hash_key, random, count, config.processors),
        )
    }

    /// The number of this tunnel among the node's, from 0.
    pub fn shard(&self) -> u8 {
        self.shard.number
    }

    /// The node's static public key.
    pub fn public_key(&self) -> [u8; 32] {
        self.public_key.to_bytes()
    }

    /// Adds a peer, under an id that no other peer has, had or will have. It takes a few hundred
    /// bytes until it connects. If the responder refuses its key, it can never connect. Of two peers
    /// with the same key, the caller must remove one.
    ///
    /// # Errors
    /// [`AddressTaken`](NotAdded::AddressTaken) if another peer or the node has one of its inner
    /// addresses, [`ShardFull`](NotAdded::ShardFull) if there are too many peers. Nothing of the
    /// peer is kept then.
    pub fn add_peer(&mut self, id: Id, config: PeerConfig) -> Result<(), NotAdded> {
        let node = &self.inner_network;
        let ipv6 = config.ipv6.map(IpAddr::from);
        if node.owns(config.ipv4.into()) || ipv6.is_some_and(|address| node.owns(address)) {
            return Err(NotAdded::AddressTaken);
        }
        let peer = self.peers.add(id, &config)?;
        self.jobs.push_back(HandshakeJob::AddPeer {
            peer,
            public_key: config.public_key,
            preshared_key: config.preshared_key,
        });
        Ok(())
    }

    /// The inner addresses of a peer; none if it is gone.
    pub fn addresses(&self, id: Id) -> impl Iterator<Item = IpAddr> {
        let slot = self.peers.find(PeerName::Id(id));
        let peer = slot.and_then(|slot| self.peers.peer(slot));
        peer.into_iter().flat_map(|peer| peer.addresses.iter())
    }

    /// Ends the peer's session, if it has one. The peer stays enrolled and may come back.
    pub fn end_session(&mut self, id: Id) {
        if let Some(slot) = self.peers.find(PeerName::Id(id)) {
            self.end(slot);
        }
    }

    /// Ends the peer's session and forgets the peer. The peer may be gone already.
    pub fn remove_peer(&mut self, id: Id) {
        let slot = self.peers.find(PeerName::Id(id));
        let peer = slot.and_then(|slot| self.peers.handle(slot));
        if let Some(peer) = peer {
            self.end(peer.slot);
            self.peers.remove(peer.slot);
            self.jobs.push_back(HandshakeJob::RemovePeer(peer));
        }
    }

    /// Does what is due: ends expired sessions and sends keepalives that are owed.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(mut spoke) = self.wheel.take(now) {
            spoke.slots.retain(|&slot| {
                let stays = self.tick(slot, out, now);
                if !stays {
                    self.wheel.take_off(slot);
                }
                stays
            });
            self.wheel.put_back(spoke);
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next; `None` while there is nothing to
    /// wait for. Enrolled peers without a session are nothing to wait for.
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
            // Frees its memory, where keys were.
            self.jobs = VecDeque::new();
        }
        job
    }

    /// Ends the session of the peer in a slot if it has expired and no tick has ended it yet.
    fn end_if_expired(&mut self, slot: u32, now: Instant) {
        let session = self.peers.peer(slot).and_then(|peer| peer.session.as_ref());
        if session.is_some_and(|session| session.is_expired(now)) {
            self.end(slot);
        }
    }

    /// Drops the session of the peer in a slot and everything that belongs to it.
    fn end(&mut self, slot: u32) {
        let Some(session) = self.peers.change(slot, Option::take).flatten() else {
            return;
        };
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

    /// Ticks the session of the peer in a slot. Returns whether there still is one.
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
