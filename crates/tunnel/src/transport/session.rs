//! A live peer: its endpoint and its keypairs.

use std::time::{Duration, Instant};

use super::keypair::{Keypair, Opened};
use crate::spec::{KEEPALIVE_TIMEOUT, REJECT_AFTER_TIME, TRANSPORT_OVERHEAD};
use crate::{Ecn, Endpoint};

/// ICMPv6 errors to one peer a second (RFC 4443 section 2.4 (f) requires a limit).
const ERRORS_PER_SECOND: u8 = 10;

/// How long packets under the keys before the last ones are still taken: as long as reordering may
/// reasonably delay them. The paper allows the rest of their 180 s, which would take a keypair's
/// memory and the secrecy of its packets for nothing.
const KEEP_PREVIOUS: Duration = Duration::from_secs(10);

pub(crate) struct Session {
    keypairs: [Option<Box<Keypair>>; ROLES],
    /// The upper 24 bits of the receiver index of the last handshake.
    pub newest_index: u32,
    /// When the previous keypair goes. It may be in the past if there is none.
    previous_until: Instant,
    /// The last transport packet that authenticated. `None` while the session is half open: an
    /// initiation was answered, and that may have been a recorded one.
    last_received: Option<LastReceived>,
    /// When anything was last sent.
    last_sent: Instant,
    /// Whether data has come since then.
    owes_keepalive: bool,
    icmp_errors: RateLimit,
    /// Whether the peer has copied a packet's ECN field outwards, which shows that it reads ours.
    reads_ecn: bool,
}

/// What a keypair is used for (wireguard-go's `Keypairs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It has opened a packet, and seals everything that is sent.
    Current,
    /// Its response is on the way. It becomes the current one when it opens a packet.
    Next,
    /// It was the current one before. Packets that were sealed with it may still be on the way.
    Previous,
}

const ROLES: usize = 3;

/// Where the packet came from, and when.
struct LastReceived {
    endpoint: Endpoint,
    at: Instant,
}

impl Role {
    pub(crate) const ALL: [Self; ROLES] = [Self::Current, Self::Next, Self::Previous];
}

impl Session {
    /// Room that [`tick`](Self::tick) needs, in bytes.
    pub(crate) const TICK_ROOM: usize = TRANSPORT_OVERHEAD;

    /// A half-open session.
    pub(crate) fn new(keypair: Box<Keypair>, now: Instant) -> Self {
        Self {
            newest_index: keypair.index,
            keypairs: [None, Some(keypair), None],
            previous_until: now,
            last_received: None,
            last_sent: now,
            owes_keepalive: false,
            icmp_errors: RateLimit {
                left: 0,
                until: now,
            },
            reads_ecn: false,
        }
    }

    /// Takes the keypair of one more handshake as the next one, in place of any other. The current
    /// one stays in use until the peer uses the new one.
    pub(crate) fn rekey(&mut self, keypair: Box<Keypair>, now: Instant) {
        self.newest_index = keypair.index;
        self.keypairs[Role::Next as usize] = Some(keypair);
        self.note_sent(now);
    }

    /// The upper 24 bits of the receiver index of the keypair in a role.
    pub(crate) fn index(&self, role: Role) -> Option<u32> {
        let keypair = self.keypairs[role as usize].as_ref()?;
        Some(keypair.index)
    }

    /// Opens a transport message with the keypair of its index, into a room of its own length.
    /// Returns the keypair's role and the content; `None` unless it authenticates.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        index: u32,
        message: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<(Role, Opened)> {
        let mut roles = Role::ALL.into_iter();
        let role = roles.find(|&role| self.index(role) == Some(index))?;
        let keypair = self.keypairs[role as usize].as_mut()?;
        Some((role, keypair.open(message, room, now)?))
    }

    /// Makes the next keypair the current one, as it has opened a packet. The current one becomes
    /// the previous one, in place of any other.
    pub(crate) fn promote(&mut self, now: Instant) {
        self.previous_until = now + KEEP_PREVIOUS;
        self.keypairs
            .swap(Role::Current as usize, Role::Previous as usize);
        self.keypairs
            .swap(Role::Current as usize, Role::Next as usize);
        self.keypairs[Role::Next as usize] = None;
    }

    /// Whether the last packet came from this endpoint.
    #[inline]
    pub(crate) fn is_at(&self, endpoint: &Endpoint) -> bool {
        let last = self.last_received.as_ref();
        last.is_some_and(|last| last.endpoint == *endpoint)
    }

    /// Notes a transport packet that authenticated. Returns whether it brought the session up.
    pub(crate) fn note_received(&mut self, endpoint: Endpoint, now: Instant) -> bool {
        let came_up = !self.is_up();
        self.last_received = Some(LastReceived { endpoint, at: now });
        came_up
    }

    /// Notes that the last packet received was data, which has to be acknowledged.
    pub(crate) fn note_data_received(&mut self) {
        self.owes_keepalive = true;
    }

    /// Copies the congestion mark of the outer header into the packet inside; `None` if the packet
    /// must be dropped.
    pub(crate) fn apply_mark(&mut self, packet: &mut [u8], outer: Ecn) -> Option<()> {
        if outer == Ecn::NotEct {
            return Some(());
        }
        let inner = Ecn::of(packet);
        self.reads_ecn |= inner != Ecn::NotEct;
        inner.decapsulated(outer)?.write(packet);
        Some(())
    }

    /// The ECN field of the outer header of a packet to this peer.
    pub(crate) fn outer_ecn(&self, packet: &[u8]) -> Ecn {
        if self.reads_ecn {
            Ecn::of(packet)
        } else {
            Ecn::NotEct
        }
    }

    /// Seals a packet, or nothing for a keepalive, into a room that is `TRANSPORT_OVERHEAD` longer.
    /// Returns the endpoint and the length; `None` if there is no keypair to send with.
    pub(crate) fn send(
        &mut self,
        packet: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<(Endpoint, usize)> {
        let endpoint = self.last_received.as_ref()?.endpoint;
        let keypair = self.keypairs[Role::Current as usize].as_mut()?;
        let len = keypair.seal(packet, room, now)?;
        self.note_sent(now);
        Some((endpoint, len))
    }

    /// Writes a keepalive if one is due, and returns its endpoint. It is due `KEEPALIVE_TIMEOUT`
    /// after the last send, not after the data came: boringtun as a client doubts its session on
    /// the first data after a silence, and a stock client does not mind.
    pub(crate) fn tick(&mut self, room: &mut [u8], now: Instant) -> Option<Endpoint> {
        if !self.owes_keepalive || now < self.last_sent + KEEPALIVE_TIMEOUT {
            return None;
        }
        self.owes_keepalive = false;
        self.send(&[], room, now).map(|(endpoint, _)| endpoint)
    }

    fn note_sent(&mut self, now: Instant) {
        self.last_sent = now;
        self.owes_keepalive = false;
    }

    /// Whether there is something to [drop](Self::drop_stale_keypairs).
    pub(crate) fn has_stale_keypairs(&self, now: Instant) -> bool {
        Role::ALL.into_iter().any(|role| self.is_stale(role, now))
    }

    /// Drops keypairs that are no longer of use.
    pub(crate) fn drop_stale_keypairs(&mut self, now: Instant) {
        for role in Role::ALL {
            if self.is_stale(role, now) {
                self.keypairs[role as usize] = None;
            }
        }
    }

    fn is_stale(&self, role: Role, now: Instant) -> bool {
        let keypair = self.keypairs[role as usize].as_ref();
        keypair.is_some_and(|keypair| match role {
            Role::Current => keypair.is_expired(now),
            Role::Next => keypair.confirmation_timed_out(now),
            Role::Previous => now >= self.previous_until || keypair.is_expired(now),
        })
    }

    pub(crate) fn is_up(&self) -> bool {
        self.last_received.is_some()
    }

    /// Whether the peer has been silent for so long that nothing of the session may be kept.
    pub(crate) fn is_expired(&self, now: Instant) -> bool {
        match &self.last_received {
            Some(last) => now >= last.at + REJECT_AFTER_TIME,
            None => self.keypairs[Role::Next as usize]
                .as_ref()
                .is_none_or(|keypair| keypair.confirmation_timed_out(now)),
        }
    }

    /// Whether one more ICMPv6 error may go to this peer; counts it.
    pub(crate) fn may_send_error(&mut self, now: Instant) -> bool {
        self.icmp_errors.take(now)
    }
}

/// At most `ERRORS_PER_SECOND`.
struct RateLimit {
    left: u8,
    until: Instant,
}

impl RateLimit {
    fn take(&mut self, now: Instant) -> bool {
        if now >= self.until {
            *self = Self {
                left: ERRORS_PER_SECOND,
                until: now + Duration::from_secs(1),
            };
        }
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        true
    }
}
