//! The way out: from a frame of the TUN device to datagrams for the network.

use std::hash::Hash;
use std::time::Instant;

use super::Tunnel;
use crate::offload::{self, Header};
use crate::peers::{Live, PeerName};
use crate::spec::{PADDING, TRANSPORT_OVERHEAD};
use crate::transport::{Session, inner};
use crate::{Frame, Outbox, Refusal};

impl<Id: Copy + Eq + Hash> Tunnel<Id> {
    /// Takes one frame from the TUN device, for the peer that has its destination. A frame is one
    /// packet, or a train of one flow, which is cut into its packets. The frame's bytes are
    /// overwritten, unless it belongs to another shard.
    ///
    /// # Errors
    /// Why the frame was dropped, or [`OfShard`](Refusal::OfShard). Nothing is kept for a peer that
    /// has no session.
    pub fn handle_frame(
        &mut self,
        frame: &mut Frame,
        out: &mut Outbox,
        now: Instant,
    ) -> Result<(), Refusal> {
        let (header, buffer, len) = frame.split().ok_or(Refusal::FrameHeader)?;
        let packet = buffer.get(..len).ok_or(Refusal::InnerHeader)?;
        let inner = inner::parse(packet).ok_or(Refusal::InnerHeader)?;
        let destination = PeerName::from(inner.destination);
        let Some(slot) = self.peers.find(destination) else {
            let shard = self.peers.find_shard(destination);
            return Err(shard.map_or(Refusal::NoSuchAddress, Refusal::OfShard));
        };
        self.end_if_expired(slot, now);
        let Live { session, .. } = self.peers.live(slot).ok_or(Refusal::NoSession)?;
        let mtu = self.inner_network.mtu;
        match header {
            Header::Packet => seal(session, buffer, len, mtu, out, now),
            Header::Unfinished { start, offset } => {
                offload::finish(buffer, len, start, offset).ok_or(Refusal::FrameHeader)?;
                seal(session, buffer, len, mtu, out, now)
            }
            Header::Train {
                kind,
                transport,
                segment,
            } => {
                let mut sealed = Ok(());
                let cut = offload::cut(kind, transport, segment, buffer, len, |packet, len| {
                    sealed = sealed.and(seal(session, packet, len, mtu, out, now));
                });
                cut.ok_or(Refusal::FrameHeader).and(sealed)
            }
        }
    }
}

/// Seals the packet at the start of a buffer into the outbox. It is padded with zeros so that
/// lengths on the wire say less (paper, section 5.4.6): to a multiple of 16 bytes, but not beyond
/// the MTU. boringtun does not pad; the far end removes the padding by the inner packet's own
/// length field. The bytes behind the packet are restored afterwards.
pub(super) fn seal(
    session: &mut Session,
    buffer: &mut [u8],
    len: usize,
    mtu: usize,
    out: &mut Outbox,
    now: Instant,
) -> Result<(), Refusal> {
    let padded = len.next_multiple_of(PADDING).min(mtu.max(len));
    let packet = buffer.get_mut(..padded).ok_or(Refusal::InnerHeader)?;
    let padding = &mut packet[len..];
    let mut behind = [0; PADDING];
    behind[..padding.len()].copy_from_slice(padding);
    padding.fill(0);
    let ecn = session.outer_ecn(packet);
    let room = out.datagrams.room(padded + TRANSPORT_OVERHEAD);
    let sent = session.send(packet, room, now).ok_or(Refusal::NoSession);
    packet[len..].copy_from_slice(&behind[..padded - len]);
    let (endpoint, len) = sent?;
    out.datagrams.keep((endpoint, ecn), len);
    Ok(())
}
