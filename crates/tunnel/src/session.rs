//! A live peer: where it is, and the keys that it has.

use std::time::{Duration, Instant};

use crate::keys::{Keys, Received};
use crate::spec::{KEEPALIVE_TIMEOUT, REJECT_AFTER_TIME, TRANSPORT_OVERHEAD};
use crate::{Ecn, Endpoint};

/// ICMPv6 errors to one peer a second (RFC 4443 section 2.4 (f) wants a limit).
const ERRORS_PER_SECOND: u8 = 10;

pub(crate) struct Session {
    keys: [Option<Box<Keys>>; ROLES],
    /// The upper 24 bits of the receiver index of the last handshake.
    pub newest: u32,
    /// Where a transport packet came from that authenticated, and when; none has come while the
    /// session is half open: an initiation was answered, maybe a recorded one.
    up: Option<Heard>,
    /// When anything went out last.
    sent: Instant,
    /// Whether data has come since.
    owes_answer: bool,
    errors: Allowance,
    /// Whether the peer has copied a packet's ECN field outwards, so that it reads ours.
    reads_ecn: bool,
}

/// What a peer has keys for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// They have opened a packet, and seal all that goes out.
    Serving,
    /// The answer is on its way. Should they open a packet, they serve.
    Waiting,
    /// They served until others did. What was sealed with them may still be on its way.
    Leaving,
}

const ROLES: usize = 3;

struct Heard {
    endpoint: Endpoint,
    at: Instant,
}

impl Role {
    pub const ALL: [Self; ROLES] = [Self::Serving, Self::Waiting, Self::Leaving];
}

impl Session {
    /// Room that [`tick`](Self::tick) needs, in bytes.
    pub const TICK_ROOM: usize = TRANSPORT_OVERHEAD;

    /// A half-open session.
    pub fn new(keys: Box<Keys>, now: Instant) -> Self {
        Self {
            newest: keys.index,
            keys: [None, Some(keys), None],
            up: None,
            sent: now,
            owes_answer: false,
            errors: Allowance {
                left: 0,
                until: now,
            },
            reads_ecn: false,
        }
    }

    /// Takes the keys of one more handshake, instead of others that wait. All goes on with those
    /// that serve until the peer uses the new ones.
    pub fn rekey(&mut self, keys: Box<Keys>, now: Instant) {
        self.newest = keys.index;
        self.keys[Role::Waiting as usize] = Some(keys);
        self.note_sent(now);
    }

    /// The upper 24 bits of the receiver index of the keys in a role.
    pub fn index(&self, role: Role) -> Option<u32> {
        self.keys[role as usize].as_ref().map(|keys| keys.index)
    }

    /// The role of the keys that an index names.
    pub fn role(&self, index: u32) -> Option<Role> {
        Role::ALL
            .into_iter()
            .find(|&role| self.index(role) == Some(index))
    }

    /// Opens a transport message into a room as long as itself; `None` unless it authenticates.
    pub fn receive(
        &mut self,
        role: Role,
        message: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<Received> {
        self.keys[role as usize].as_mut()?.open(message, room, now)
    }

    /// The keys that waited have opened a packet.
    pub fn promote(&mut self) {
        self.keys
            .swap(Role::Serving as usize, Role::Leaving as usize);
        self.keys
            .swap(Role::Serving as usize, Role::Waiting as usize);
        self.keys[Role::Waiting as usize] = None;
    }

    /// Notes a transport packet that authenticated; whether the session came up by it.
    pub fn heard(&mut self, endpoint: Endpoint, now: Instant) -> bool {
        let came_up = !self.is_up();
        self.up = Some(Heard { endpoint, at: now });
        came_up
    }

    /// Notes that the last packet heard was data, which wants some answer.
    pub fn owe_answer(&mut self) {
        self.owes_answer = true;
    }

    /// Puts what the outer header said of congestion into the packet that came under it; `None` if
    /// the packet must not go on.
    pub fn mark(&mut self, packet: &mut [u8], outer: Ecn) -> Option<()> {
        if outer == Ecn::NotEct {
            return Some(());
        }
        let inner = Ecn::of(packet);
        self.reads_ecn |= inner != Ecn::NotEct;
        inner.after(outer)?.write(packet);
        Some(())
    }

    /// What the outer header of a packet to this peer says of congestion.
    pub fn outer_ecn(&self, packet: &[u8]) -> Ecn {
        if self.reads_ecn {
            Ecn::of(packet)
        } else {
            Ecn::NotEct
        }
    }

    /// Seals a packet, or nothing for a keepalive, into a room that is `TRANSPORT_OVERHEAD` longer.
    /// Gives the length and the way; `None` if there are no keys to send by.
    pub fn send(
        &mut self,
        packet: &[u8],
        room: &mut [u8],
        now: Instant,
    ) -> Option<(Endpoint, usize)> {
        let endpoint = self.up.as_ref()?.endpoint;
        let keys = self.keys[Role::Serving as usize].as_mut()?;
        let len = keys.seal(packet, room, now)?;
        self.note_sent(now);
        Some((endpoint, len))
    }

    /// Writes a keepalive if one is due, and gives its way. It is due that long after anything
    /// went out, not after the data came: boringtun as a client doubts its session on the first
    /// data after a silence, and a stock client does not mind.
    pub fn tick(&mut self, room: &mut [u8], now: Instant) -> Option<Endpoint> {
        if !self.owes_answer || now < self.sent + KEEPALIVE_TIMEOUT {
            return None;
        }
        self.owes_answer = false;
        self.send(&[], room, now).map(|(endpoint, _)| endpoint)
    }

    fn note_sent(&mut self, now: Instant) {
        self.sent = now;
        self.owes_answer = false;
    }

    /// Whether there are keys that [`drop_old_keys`](Self::drop_old_keys) would drop.
    pub fn has_old_keys(&self, now: Instant) -> bool {
        Role::ALL.into_iter().any(|role| self.is_old(role, now))
    }

    /// Drops keys that are of no use any more.
    pub fn drop_old_keys(&mut self, now: Instant) {
        for role in Role::ALL {
            if self.is_old(role, now) {
                self.keys[role as usize] = None;
            }
        }
    }

    fn is_old(&self, role: Role, now: Instant) -> bool {
        let keys = self.keys[role as usize].as_ref();
        keys.is_some_and(|keys| match role {
            Role::Serving => keys.are_over(now),
            Role::Waiting => keys.came_to_nothing(now),
            Role::Leaving => true,
        })
    }

    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Whether the peer has been silent for so long that nothing may be left of the session.
    pub fn is_over(&self, now: Instant) -> bool {
        match &self.up {
            Some(heard) => now >= heard.at + REJECT_AFTER_TIME,
            None => self.keys[Role::Waiting as usize]
                .as_ref()
                .is_none_or(|keys| keys.came_to_nothing(now)),
        }
    }

    /// Whether one more ICMPv6 error may go to this peer; counts it.
    pub fn may_send_error(&mut self, now: Instant) -> bool {
        self.errors.take(now)
    }
}

/// So many a second.
struct Allowance {
    left: u8,
    until: Instant,
}

impl Allowance {
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
