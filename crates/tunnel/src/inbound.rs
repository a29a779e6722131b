//! A datagram's way in.

use std::time::Instant;

use boringtun::noise::handshake::parse_handshake_anon;
use rand_core::RngCore as _;

use crate::gate::Stopped;
use crate::inner::{self, Inner};
use crate::peer::Name;
use crate::session::{Received, Session};
use crate::spec::COOKIE_REPLY_LEN;
use crate::tunnel::{Event, Tunnel, seal};
use crate::{Outbox, Path, Refusal, icmp6};

impl Tunnel {
    /// An initiation: admitted, then its static key names the peer. A key that is not enrolled
    /// gets no answer and leaves nothing.
    pub(crate) fn initiation(
        &mut self,
        path: Path,
        datagram: &[u8],
        out: &mut Outbox,
        now: Instant,
    ) -> Result<(), Refusal> {
        let reply = out.datagrams.room(COOKIE_REPLY_LEN);
        let init = match self.gate.admit(path.remote.ip(), datagram, reply, now) {
            Ok(init) => init,
            Err(Stopped::Refused(refusal)) => return Err(refusal),
            Err(Stopped::Cookie) => {
                out.datagrams.keep(path, COOKIE_REPLY_LEN);
                return Err(Refusal::CookieDemanded);
            }
        };
        let half = parse_handshake_anon(&self.private_key, &self.public_key, &init)
            .map_err(|_| Refusal::Undecryptable)?;
        let key = Name::Key(half.peer_static_public);
        let slot = self.peers.find(key).ok_or(Refusal::UnknownPeer)?;
        self.end_if_over(slot, now);
        let room = out.datagrams.room(Session::ANSWER_ROOM);
        let len = self
            .answer(slot, datagram, room, now)
            .ok_or(Refusal::Handshake)?;
        out.datagrams.keep(path, len);
        Ok(())
    }

    /// Answers for the peer in a slot: by its session, which knows a replay, or by a new one.
    /// We keep no time of a session that is over, so a new one cannot tell a recorded initiation;
    /// it stays half open, unknown to the counter and without endpoint, until a transport packet
    /// shows that the peer has the keys.
    fn answer(
        &mut self,
        slot: u32,
        datagram: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<usize> {
        if let Some(session) = self.peers.session_mut(slot) {
            return session.answer(datagram, room, now);
        }
        let index = self.unused_index();
        let peer = self.peers.peer(slot)?;
        let mut session = Box::new(Session::new(
            self.private_key.clone(),
            &peer.public_key,
            &peer.preshared_key,
            index,
            self.gate.for_tunn(),
            now,
        ));
        let len = session.answer(datagram, room, now)?;
        self.peers.attach(slot, session);
        self.wheel.add(slot, now);
        Some(len)
    }

    /// A new index for each session, so that nothing on the wire joins two sessions of a peer.
    fn unused_index(&mut self) -> u32 {
        loop {
            let index = self.random.next_u32() >> 8;
            if self.peers.find(Name::Index(index)).is_none() {
                return index;
            }
        }
    }

    /// A transport message: opened by the session that its receiver index names. That it
    /// authenticated, keepalive or not, is what moves endpoint and count.
    pub(crate) fn transport(
        &mut self,
        path: Path,
        index: u32,
        datagram: &[u8],
        out: &mut Outbox,
        now: Instant,
    ) -> Result<(), Refusal> {
        let slot = self
            .peers
            .find(Name::Index(index))
            .ok_or(Refusal::UnknownIndex)?;
        self.end_if_over(slot, now);
        let session = self.peers.session_mut(slot).ok_or(Refusal::UnknownIndex)?;
        let room = out.packets.room(datagram.len());
        let received = session
            .receive(datagram, room)
            .ok_or(Refusal::NotAuthentic)?;
        if session.heard(path, now) {
            self.announce(slot, Event::SessionUp);
        }
        match received {
            Received::Keepalive => Ok(()),
            Received::Malformed => Err(Refusal::InnerHeader),
            Received::Packet(len) => self.inner_packet(slot, len, out, now),
        }
    }

    /// An inner packet that lies at the start of the outbox's room, not kept yet.
    fn inner_packet(
        &mut self,
        slot: u32,
        len: usize,
        out: &mut Outbox,
        now: Instant,
    ) -> Result<(), Refusal> {
        let peer = self.peers.peer_mut(slot).ok_or(Refusal::UnknownIndex)?;
        let session = peer.session.as_mut().ok_or(Refusal::UnknownIndex)?;
        session.owe_answer(now);
        let packet: &[u8] = out.packets.room(len);
        let inner = inner::parse(packet).ok_or(Refusal::InnerHeader)?;
        if inner.source.is_ipv6() && !peer.has_ipv6() {
            self.refuse_ipv6(slot, inner, len, out, now);
            return Err(Refusal::NoIpv6);
        }
        if !peer.owns(inner.source) {
            return Err(Refusal::InnerSource);
        }
        if self.inside.is_peers(inner.destination) {
            return Err(Refusal::InnerDestination);
        }
        out.packets.keep((), len);
        Ok(())
    }

    /// Tells a peer without IPv6 so, within its allowance. See [`icmp6`].
    fn refuse_ipv6(&mut self, slot: u32, inner: Inner, len: usize, out: &mut Outbox, now: Instant) {
        let Some(session) = self.peers.session_mut(slot) else {
            return;
        };
        let mut room = [0; icmp6::LONGEST];
        let packet = out.packets.room(len);
        let error = icmp6::prohibited(packet, inner, self.inside.ipv6, &mut room);
        let Some(len) = error.map(<[u8]>::len) else {
            return;
        };
        if session.may_send_error(now) {
            // The session has just opened a packet; should it not send, the error is no loss.
            let _ = seal(session, &mut room, len, self.inside.mtu, out);
        }
    }
}
