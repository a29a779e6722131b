//! The way in: from a datagram of the network to a packet for the TUN device.

use std::hash::Hash;
use std::time::Instant;

use super::outbound::seal;
use super::{Event, Tunnel};
use crate::config::InnerNetwork;
use crate::handshake::{EndedSession, HandshakeJob, HandshakeReply, Initiation};
use crate::message::{self, Message};
use crate::peers::{Live, PeerName};
use crate::spec::{INITIATION_LEN, REJECT_AFTER_MESSAGES};
use crate::transport::{Opened, Role, Session, icmp6, inner};
use crate::{Ecn, Endpoint, Outbox, PeerHandle, Refusal};

impl<Id: Copy + Eq + Hash> Tunnel<Id> {
    /// Takes one datagram from the network, with the ECN field of its header. It does not panic,
    /// whatever the datagram holds. A datagram from an inner address is refused before it is
    /// opened, so that no inner address gets an answer or becomes an endpoint.
    ///
    /// # Errors
    /// Why the datagram was dropped, or [`OfShard`](Refusal::OfShard).
    pub fn handle_datagram(
        &mut self,
        endpoint: Endpoint,
        ecn: Ecn,
        datagram: &mut [u8],
        out: &mut Outbox,
        now: Instant,
    ) -> Result<(), Refusal> {
        match message::classify(datagram)? {
            Message::Initiation => self.initiation(endpoint, datagram),
            Message::Transport { counter, .. } if counter >= REJECT_AFTER_MESSAGES => {
                Err(Refusal::CounterExhausted)
            }
            Message::Transport { receiver, .. } => {
                let index = receiver >> 8;
                self.shard.check(index)?;
                self.transport((endpoint, ecn), index, datagram, out, now)
            }
        }
    }

    /// Takes a responder's reply: its keypair becomes the peer's next one, and the response is
    /// sent. If another peer has the index by chance, the initiation goes back to the responder,
    /// for a reply with another index.
    ///
    /// # Errors
    /// [`TooLate`](Refusal::TooLate) if the peer is gone.
    pub fn handle_reply(
        &mut self,
        reply: HandshakeReply<Id>,
        out: &mut Outbox,
        now: Instant,
    ) -> Result<(), Refusal> {
        let HandshakeReply {
            peer,
            keypair,
            initiation,
            response,
        } = reply;
        let slot = self.peers.slot(peer).ok_or(Refusal::TooLate)?;
        self.end_if_expired(slot, now);
        if self.peers.find(PeerName::Index(keypair.index)).is_some() {
            let index = keypair.index;
            let taken = EndedSession { peer, index };
            self.jobs
                .push_back(HandshakeJob::AnswerAgain(taken, initiation));
            return Ok(());
        }
        let is_new = self.peers.change(slot, |session| match session {
            Some(session) => {
                session.rekey(keypair, now);
                false
            }
            None => {
                *session = Some(Box::new(Session::new(keypair, now)));
                true
            }
        });
        if is_new == Some(true) {
            self.wheel.add(slot, now);
        }
        out.datagrams
            .room(response.len())
            .copy_from_slice(&response);
        out.datagrams
            .keep((initiation.endpoint, Ecn::NotEct), response.len());
        Ok(())
    }

    /// Queues an initiation for the responder.
    fn initiation(&mut self, endpoint: Endpoint, datagram: &[u8]) -> Result<(), Refusal> {
        if self.inner_network.has_end(&endpoint) {
            return Err(Refusal::InnerEndpoint);
        }
        let bytes: &[u8; INITIATION_LEN] =
            datagram.try_into().map_err(|_| Refusal::NotWireGuard)?;
        let bytes = *bytes;
        self.jobs
            .push_back(HandshakeJob::Answer(Initiation { endpoint, bytes }));
        Ok(())
    }

    /// A transport message, opened with the keypair of its receiver index. A message that
    /// authenticates, keepalive or not, is what moves the endpoint and the count.
    fn transport(
        &mut self,
        (endpoint, ecn): (Endpoint, Ecn),
        index: u32,
        datagram: &[u8],
        out: &mut Outbox,
        now: Instant,
    ) -> Result<(), Refusal> {
        let found = self.peers.find(PeerName::Index(index));
        let slot = found.ok_or(Refusal::UnknownIndex)?;
        self.end_if_expired(slot, now);
        let live = self.peers.live(slot).ok_or(Refusal::UnknownIndex)?;
        // The endpoint that the session has was checked when it moved there.
        if !live.session.is_at(&endpoint) && self.inner_network.has_end(&endpoint) {
            return Err(Refusal::InnerEndpoint);
        }
        let room = out.packets.room(datagram.len());
        let received = live.session.receive(index, datagram, room, now);
        let (role, opened) = received.ok_or(Refusal::NotAuthentic)?;
        if live.session.note_received(endpoint, now) {
            self.events.push_back(Event::SessionUp(live.id));
            let peer = PeerHandle {
                shard: self.shard.number,
                slot,
                id: live.id,
            };
            self.jobs.push_back(HandshakeJob::BeginSession(peer));
        }
        let result = match opened {
            Opened::Keepalive => Ok(()),
            Opened::Malformed => Err(Refusal::InnerHeader),
            Opened::Packet(len) => live.inner_packet(len, ecn, &self.inner_network, out),
        };
        if role == Role::Next {
            let promote = |session: &mut Session| session.promote(now);
            self.peers
                .change(slot, |session| session.as_deref_mut().map(promote));
        }
        if let (Err(Refusal::NoIpv6), Opened::Packet(len)) = (result, opened) {
            self.refuse_ipv6(slot, len, out, now);
        }
        result
    }

    /// Tells a peer without IPv6 that it has none, within its allowance. See [`icmp6`]. The packet
    /// is at the start of the outbox's room.
    fn refuse_ipv6(&mut self, slot: u32, len: usize, out: &mut Outbox, now: Instant) {
        let Some(Live { session, .. }) = self.peers.live(slot) else {
            return;
        };
        let mut room = [0; icmp6::LONGEST];
        let packet = out.packets.room(len);
        let error = inner::parse(packet)
            .and_then(|inner| icmp6::prohibited(packet, inner, self.inner_network.ipv6, &mut room));
        let Some(len) = error.map(<[u8]>::len) else {
            return;
        };
        if session.may_send_error(now) {
            // The session has just opened a packet. If it cannot send, the error is no loss.
            let _ = seal(session, &mut room, len, self.inner_network.mtu, out, now);
        }
    }
}

impl<Id> Live<'_, Id> {
    /// Checks an inner packet at the start of the outbox's room, and keeps it.
    fn inner_packet(
        self,
        len: usize,
        outer: Ecn,
        network: &InnerNetwork,
        out: &mut Outbox,
    ) -> Result<(), Refusal> {
        self.session.note_data_received();
        let packet = out.packets.room(len);
        let inner = inner::parse(packet).ok_or(Refusal::InnerHeader)?;
        if inner.source.is_ipv6() && !self.addresses.has_ipv6() {
            return Err(Refusal::NoIpv6);
        }
        if !self.addresses.owns(inner.source) {
            return Err(Refusal::InnerSource);
        }
        if network.is_peers(inner.destination) {
            return Err(Refusal::InnerDestination);
        }
        let marked = self.session.apply_mark(packet, outer);
        marked.ok_or(Refusal::Congestion)?;
        out.packets.keep((), len);
        Ok(())
    }
}
