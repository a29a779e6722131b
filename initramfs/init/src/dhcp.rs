//! A DHCP client (RFC 2131) without I/O: datagrams and time in, datagrams and events out.
//!
//! It needs one address for as long as the machine runs, so it leaves parts of the protocol
//! out: it does not decline or release an address, and does not ask for the old one after a
//! restart. If a lease ends or changes there is an [`Event::Lost`], and the machine restarts.
//! `examples/dhcp.rs` shows how to drive it.

mod message;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use message::{Kind, Reply};

/// Port of servers (RFC 2131 section 4.1).
pub const SERVER_PORT: u16 = 67;
/// Port of clients.
pub const CLIENT_PORT: u16 = 68;

/// First and longest wait for an answer. It doubles in between; each is up to a second shorter
/// or longer (4.1).
const FIRST_WAIT: Duration = Duration::from_secs(4);
const LAST_WAIT: Duration = Duration::from_secs(64);
/// Shortest wait between two requests to extend a lease (4.4.5).
const RENEWAL_WAIT: Duration = Duration::from_secs(60);
/// Requests of one offer before the client looks for another. This and the next two are our
/// own choice.
const REQUESTS: u32 = 4;
/// A shorter lease is ignored.
const SHORTEST_TERM: Duration = Duration::from_secs(60);
/// Shortest time between two renewals.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(1);

/// What a server assigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The machine's own address.
    pub address: Ipv4Addr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// The default gateway.
    pub gateway: Option<Ipv4Addr>,
    /// Option 224, which is for private use: the URL of the settings bundle.
    pub bundle: Option<String>,
    /// The server that gave it.
    pub server: Ipv4Addr,
}

/// What the caller must act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The client has an address.
    Bound(Lease),
    /// The machine may no longer use the address.
    Lost,
}

/// A datagram to send from port 68.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// A server, or everyone.
    pub to: SocketAddrV4,
    /// The message.
    pub payload: Vec<u8>,
}

/// The client. After each `handle_*`, call `poll_transmit` until it returns `None` and send
/// what it returns; do the same with `poll_event` and act on it; then wait for a datagram
/// until `poll_timeout`.
pub struct Client {
    mac: [u8; 6],
    xid: u32,
    state: State,
    /// When the last REQUEST went out: terms count from then (4.4.1).
    asked: Instant,
    next: Instant,
    transmit: Option<Transmit>,
    event: Option<Event>,
}

enum State {
    /// DISCOVER is out.
    Selecting { tries: u32 },
    /// REQUEST of this offer is out.
    Requesting { offer: Offer, tries: u32 },
    /// Also RENEWING and REBINDING. The time decides which.
    Bound(Held),
    /// The lease is lost. The client does nothing more.
    Lost,
}

#[derive(Clone, Copy)]
struct Offer {
    address: Ipv4Addr,
    server: Ipv4Addr,
}

struct Held {
    lease: Lease,
    server: Ipv4Addr,
    /// T1, T2 and the end of the lease.
    renew: Instant,
    rebind: Instant,
    end: Instant,
}

impl Client {
    /// A client that sends its DISCOVER at once. `random` becomes the first transaction id.
    pub fn new(mac: [u8; 6], random: u32, now: Instant) -> Self {
        let mut client = Self {
            mac,
            xid: random,
            state: State::Selecting { tries: 0 },
            asked: now,
            next: now,
            transmit: None,
            event: None,
        };
        client.handle_timeout(now);
        client
    }

    /// Takes a datagram that arrived at port 68. A datagram for another client changes nothing.
    pub fn handle_datagram(&mut self, datagram: &[u8], now: Instant) {
        let Some(reply) = message::parse(datagram, self.mac, self.xid) else {
            return;
        };
        match (&self.state, reply.kind) {
            (State::Selecting { .. }, Kind::Offer) => self.accept(&reply, now),
            (State::Requesting { offer, .. }, Kind::Ack) if reply.address == offer.address => {
                self.bind(reply);
            }
            (State::Requesting { .. }, Kind::Nak) => self.discover_again(now),
            (State::Bound(held), Kind::Ack) if now >= held.renew => self.extend(reply, now),
            (State::Bound(held), Kind::Nak) if now >= held.renew => self.lose(),
            _ => {}
        }
    }

    /// Call this when the time of [`Self::poll_timeout`] is reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.next {
            return;
        }
        match &mut self.state {
            State::Selecting { tries } => {
                *tries += 1;
                let wait = wait(*tries, self.xid);
                self.next = now + wait;
                self.broadcast(message::discover(self.mac, self.xid));
            }
            State::Requesting { tries, .. } if *tries == REQUESTS => self.discover_again(now),
            State::Requesting { offer, tries } => {
                *tries += 1;
                let (offer, wait) = (*offer, wait(*tries, self.xid));
                self.asked = now;
                self.next = now + wait;
                let request = message::request(self.mac, self.xid, offer.address, offer.server);
                self.broadcast(request);
            }
            State::Bound(held) if now >= held.end => self.lose(),
            State::Bound(_) => self.renew(now),
            State::Lost => {}
        }
    }

    /// When to call [`Self::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Instant {
        self.next
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmit.take()
    }

    /// The next event to act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.event.take()
    }

    fn accept(&mut self, reply: &Reply, now: Instant) {
        let offer = Offer {
            address: reply.address,
            server: reply.server,
        };
        self.state = State::Requesting { offer, tries: 0 };
        self.next = now;
        self.handle_timeout(now);
    }

    fn bind(&mut self, reply: Reply) {
        let Some(held) = Held::new(reply, self.asked) else {
            return;
        };
        self.event = Some(Event::Bound(held.lease.clone()));
        self.next = held.renew;
        self.state = State::Bound(held);
    }

    /// Handles the answer to a renewal: the same lease for longer, or its loss.
    fn extend(&mut self, reply: Reply, now: Instant) {
        let State::Bound(held) = &self.state else {
            return;
        };
        match Held::new(reply, self.asked) {
            None => {}
            Some(new) if !held.lease.same_place(&new.lease) => self.lose(),
            Some(new) => {
                self.next = new.renew.max(now + SHORTEST_RENEWAL);
                self.state = State::Bound(new);
            }
        }
    }

    /// RENEWING asks the server that gave the lease, REBINDING asks everyone (4.4.5).
    fn renew(&mut self, now: Instant) {
        self.xid = self.xid.wrapping_add(1);
        let State::Bound(held) = &self.state else {
            return;
        };
        self.asked = now;
        let renewing = now < held.rebind;
        let limit = if renewing { held.rebind } else { held.end };
        let wait = (limit.saturating_duration_since(now) / 2).max(RENEWAL_WAIT);
        self.next = (now + wait).min(limit);
        let payload = message::renewal(self.mac, self.xid, held.lease.address);
        let server = if renewing {
            held.server
        } else {
            Ipv4Addr::BROADCAST
        };
        self.transmit = Some(Transmit {
            to: SocketAddrV4::new(server, SERVER_PORT),
            payload,
        });
    }

    fn discover_again(&mut self, now: Instant) {
        self.xid = self.xid.wrapping_add(1);
        self.state = State::Selecting { tries: 0 };
        // Not at once, or a server that refuses its own offer would be asked in a tight loop.
        self.next = now + wait(1, self.xid);
    }

    fn lose(&mut self) {
        self.state = State::Lost;
        self.event = Some(Event::Lost);
    }

    fn broadcast(&mut self, payload: Vec<u8>) {
        self.transmit = Some(Transmit {
            to: SocketAddrV4::new(Ipv4Addr::BROADCAST, SERVER_PORT),
            payload,
        });
    }
}

impl Held {
    /// `None` without a mask or a lease time. T1 and T2 have defaults (4.4.5).
    fn new(reply: Reply, asked: Instant) -> Option<Self> {
        let term = reply.term.filter(|term| *term >= SHORTEST_TERM)?;
        let rebind = reply
            .rebind
            .filter(|rebind| (SHORTEST_RENEWAL..term).contains(rebind))
            .unwrap_or(term * 7 / 8);
        let renew = reply
            .renew
            .filter(|renew| (SHORTEST_RENEWAL..rebind).contains(renew))
            .unwrap_or(rebind.min(term / 2));
        Some(Self {
            server: reply.server,
            renew: asked + renew,
            rebind: asked + rebind,
            end: asked + term,
            lease: Lease {
                address: reply.address,
                prefix: reply.prefix?,
                gateway: reply.gateway,
                bundle: reply.bundle,
                server: reply.server,
            },
        })
    }
}

impl Lease {
    fn same_place(&self, other: &Self) -> bool {
        (self.address, self.prefix, self.gateway) == (other.address, other.prefix, other.gateway)
    }
}

/// The wait after the `tries`th message: 4, 8, 16 ... 64 s. `random` makes it up to a second
/// shorter or longer, so that machines that are switched on together do not ask together.
fn wait(tries: u32, random: u32) -> Duration {
    let doubled = FIRST_WAIT * 2_u32.saturating_pow(tries.saturating_sub(1).min(4));
    let spread = random.rotate_left(tries * 8) % 2001;
    doubled.min(LAST_WAIT) + Duration::from_millis(spread.into()) - Duration::from_secs(1)
}

#[cfg(test)]
mod tests;
