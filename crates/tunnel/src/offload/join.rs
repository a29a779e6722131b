//! Joins the packets of a batch into trains, without moving their bytes.

use super::checksum::{Sum, pseudo_header};
use super::flow::{Candidate, Place, addresses, continues, pushes, same_flow};
use super::header::{FRAME_HEADER, Header};
use super::{GsoType, flag, put};
use crate::ip::{IPV4_HEADER, IPV6_HEADER, field, protocol};

/// Packets in a train, at most: the kernel's limit for UDP (UDP_MAX_SEGMENTS).
pub(crate) const LONGEST_TRAIN: usize = 64;
/// Length of an IP packet, in bytes, at most.
const LONGEST_PACKET: usize = 65_535;
/// Trains that can be open at a time; for one more, the oldest is closed. There are as many as a
/// batch has, so that the packets of two received trains of a busy flow can become one.
const OPEN_TRAINS: usize = 32;
/// Stands behind the last packet of a train.
const NONE: u32 = u32::MAX;

/// Which packets of a batch go together.
#[derive(Default)]
pub(crate) struct Joiner {
    joined: Vec<Joined>,
    /// For each packet of the batch, the one behind it in its train.
    next: Vec<u32>,
    /// Trains that may still grow, the oldest first.
    open: Vec<usize>,
}

/// A packet, or a train of packets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Joined {
    candidate: Option<Candidate>,
    first: u32,
    last: u32,
    count: usize,
    /// Payload of the first packet, and of all packets together, in bytes.
    segment: usize,
    payload: usize,
}

impl Joiner {
    /// Adds the next packet of the batch. `packet` returns an earlier one by its number, from 0.
    pub(crate) fn add<'a>(&mut self, own: &'a [u8], udp: bool, packet: impl Fn(u32) -> &'a [u8]) {
        let number = self.next.len() as u32;
        self.next.push(NONE);
        match Place::of(own) {
            Place::InTrain(candidate) if udp || candidate.kind != GsoType::Udp => {
                self.place(number, (own, candidate), packet);
            }
            _ => {
                let joined = &self.joined;
                self.open.retain(|&open| {
                    let first = joined.get(open).map(|train| packet(train.first));
                    first.and_then(addresses) != addresses(own)
                });
                self.joined.push(Joined::alone(number, None, own.len()));
            }
        }
    }

    /// Everything that was added, in the order of the first packets.
    pub(crate) fn joined(&self) -> &[Joined] {
        &self.joined
    }

    /// The numbers of the packets behind the first one.
    pub(crate) fn rest(&self, joined: Joined) -> impl Iterator<Item = u32> {
        let behind = |packet: u32| self.next.get(packet as usize).copied();
        let first = behind(joined.first).filter(|&next| next != NONE);
        std::iter::successors(first, move |&packet| {
            behind(packet).filter(|&next| next != NONE)
        })
    }

    /// Forgets the batch.
    pub(crate) fn clear(&mut self) {
        self.joined.clear();
        self.next.clear();
        self.open.clear();
    }

    fn place<'a>(
        &mut self,
        number: u32,
        own: (&'a [u8], Candidate),
        packet: impl Fn(u32) -> &'a [u8],
    ) {
        let share = own.0.len() - own.1.payload;
        // The youngest first, as datagrams arrive in trains.
        let found = self.open.iter().rposition(|&open| {
            self.joined.get(open).is_some_and(|train| {
                let candidate = train.candidate;
                candidate.is_some_and(|first| same_flow((packet(train.first), first), own))
            })
        });
        if let Some(at) = found
            && let Some(train) = self.joined.get_mut(self.open[at])
        {
            if train.takes(packet(train.first), own) {
                self.next[train.last as usize] = number;
                train.last = number;
                train.count += 1;
                train.payload += share;
                if share < train.segment || train.count == LONGEST_TRAIN || pushes(own.0, own.1) {
                    self.open.remove(at);
                }
                return;
            }
            self.open.remove(at);
        }
        if !pushes(own.0, own.1) {
            if self.open.len() == OPEN_TRAINS {
                self.open.remove(0);
            }
            self.open.push(self.joined.len());
        }
        self.joined.push(Joined::alone(number, Some(own.1), share));
    }
}

impl Joined {
    fn alone(number: u32, candidate: Option<Candidate>, payload: usize) -> Self {
        Self {
            candidate,
            first: number,
            last: number,
            count: 1,
            segment: payload,
            payload,
        }
    }

    /// The number of the first packet.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    /// Where the payload begins in each packet behind the first.
    pub(crate) fn payload_at(&self) -> usize {
        self.candidate.map_or(0, |candidate| candidate.payload)
    }

    fn takes(&self, first: &[u8], own: (&[u8], Candidate)) -> bool {
        let Some(candidate) = self.candidate else {
            return false;
        };
        let share = own.0.len() - own.1.payload;
        let fits =
            share <= self.segment && candidate.payload + self.payload + share <= LONGEST_PACKET;
        fits && continues((first, candidate), own, self.count, self.segment) == Some(true)
    }

    /// Turns the first packet's headers into those of the train, and returns the frame's header.
    pub(crate) fn finish(&self, first: &mut [u8], last_pushes: bool) -> [u8; FRAME_HEADER] {
        let (Some(candidate), true) = (self.candidate, self.count > 1) else {
            return Header::Packet.encode(0);
        };
        // It cannot fail: the headers were read when the packet was placed.
        let _ = self.write(candidate, first, last_pushes);
        Header::Train {
            kind: candidate.kind,
            transport: candidate.transport,
            segment: self.segment,
        }
        .encode(candidate.payload)
    }

    fn write(&self, candidate: Candidate, first: &mut [u8], last_pushes: bool) -> Option<()> {
        let len = candidate.payload + self.payload;
        let transport_len = (len - candidate.transport) as u16;
        let number = match candidate.kind {
            GsoType::Udp => protocol::UDP,
            GsoType::Tcp4 | GsoType::Tcp6 => protocol::TCP,
        };
        // The kernel or the card adds the rest for each packet that it cuts.
        let unfinished = pseudo_header(first, number)?.number(transport_len).fold();
        let (ip, transport) = first.split_at_mut_checked(candidate.transport)?;
        if ip.len() == IPV4_HEADER {
            put(ip, field::IPV4_TOTAL_LEN, len as u16)?;
            put(ip, field::IPV4_CHECKSUM, 0)?;
            let checksum = Sum::default().bytes(ip).finish();
            put(ip, field::IPV4_CHECKSUM, checksum)?;
        } else {
            put(ip, field::IPV6_PAYLOAD_LEN, (len - IPV6_HEADER) as u16)?;
        }
        if candidate.kind == GsoType::Udp {
            put(transport, field::UDP_LEN, transport_len)?;
            return put(transport, field::UDP_CHECKSUM, unfinished);
        }
        if last_pushes {
            *transport.get_mut(field::TCP_FLAGS)? |= flag::PSH;
        }
        put(transport, field::TCP_CHECKSUM, unfinished)
    }

    /// Whether the last packet of the train has PSH set.
    pub(crate) fn pushes<'a>(&self, packet: impl Fn(u32) -> &'a [u8]) -> bool {
        self.candidate
            .is_some_and(|candidate| pushes(packet(self.last), candidate))
    }
}
