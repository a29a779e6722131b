//! The loop of the handshake thread.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use rand_core::{OsRng, RngCore as _};
use zeroize::Zeroizing;

use mayfly_sys::udp::{SendBatch, Udp};
use mayfly_tunnel::Outbox;
use mayfly_wire::PublicKey;

use super::messages::{HandshakeJobs, HandshakeReplies};
use super::scrub_timer::ScrubTimer;
use super::{Responder, send};
use crate::node_keys::NodeKeys;
use crate::stack;

/// How long the node gives one WireGuard key to clients.
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// How often the handshake thread looks at the keys. A key may last this much longer.
const LOOK_AT_KEYS: Duration = Duration::from_secs(60);

/// Everything that the handshake thread owns, and its ends of the queues.
pub(crate) struct Handshakes {
    responder: Responder,
    node_keys: NodeKeys,
    /// When the node makes its next key.
    next_key: Instant,
    /// When it looks whether one is due.
    look_at_keys: Instant,
    jobs: HandshakeJobs,
    /// One for each packet thread.
    replies: Vec<HandshakeReplies>,
    /// For cookies. A response is sent by the packet thread, once that can open what the client
    /// sends next.
    udp: Arc<Udp>,
    cookies: Outbox,
    batch: SendBatch,
    epoll: Epoll,
}

impl Handshakes {
    /// Makes the loop, which does not run yet.
    ///
    /// # Errors
    /// There is no descriptor left for epoll.
    pub(crate) fn new(
        responder: Responder,
        node_keys: NodeKeys,
        jobs: HandshakeJobs,
        replies: Vec<HandshakeReplies>,
        udp: Arc<Udp>,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            jobs.signal().as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN, 0),
        )?;
        Ok(Self {
            responder,
            node_keys,
            next_key: Instant::now() + DAY,
            look_at_keys: Instant::now() + LOOK_AT_KEYS,
            jobs,
            replies,
            udp,
            cookies: Outbox::new(),
            batch: SendBatch::default(),
            epoll,
        })
    }

    /// Answers initiations in the order in which they came. Does not return.
    pub(crate) fn run(mut self) {
        let mut scrub_timer = ScrubTimer::default();
        loop {
            let mut events = [EpollEvent::empty()];
            let keys = Some(self.look_at_keys);
            let deadline = self.responder.poll_timeout().into_iter().chain(keys);
            // It cannot fail. If it did, the loop would find nothing to do and wait again.
            let _ = scrub_timer.wait(&self.epoll, &mut events, deadline.min(), stack::scrub);
            scrub_timer.expect(Instant::now());
            self.turn();
        }
    }

    /// Does all work that is due. It is never inlined into `run`, whose stack frame is not
    /// scrubbed, because whole peers are moved on the stack here.
    #[inline(never)]
    fn turn(&mut self) {
        for job in self.jobs.take() {
            // One at a time, so that a client does not wait for the ones behind it.
            let now = Instant::now();
            // The reason for a refusal is for tests. It is reported nowhere.
            let reply = self.responder.handle_job(job, &mut self.cookies, now);
            if let Ok(Some(reply)) = reply
                && let Some(replies) = self.replies.get(usize::from(reply.shard()))
            {
                replies.send(reply);
            }
        }
        self.send_cookies();
        let now = Instant::now();
        self.responder.handle_timeout(now);
        if now >= self.look_at_keys {
            self.change_keys(now);
        }
    }

    /// Makes the key of the next day, if this one is over, and destroys those whose time has come. A
    /// key answers before the first client is told of it.
    fn change_keys(&mut self, now: Instant) {
        self.look_at_keys = now + LOOK_AT_KEYS;
        if !self.node_keys.are_kept() {
            self.responder.retire_identities(now);
        }
        if now >= self.next_key {
            self.next_key = now + DAY;
            self.change_key(now);
        }
    }

    fn change_key(&mut self, now: Instant) {
        let mut key = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *key);
        let public_key = self.responder.add_identity(key, now);
        self.node_keys.add(PublicKey(public_key));
    }

    fn send_cookies(&mut self) {
        if !self.cookies.is_empty() {
            send(&self.udp, &mut self.batch, &self.cookies);
            self.cookies.scrub();
            self.batch.scrub();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use mayfly_tunnel::{Config, Tunnel};

    use super::*;

    fn handshakes() -> Handshakes {
        let config = Config {
            private_key: Zeroizing::new([1; 32]),
            mtu: 1420,
            ipv4: [10, 64, 0, 1].into(),
            ipv6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1),
            pools: Vec::new(),
            processors: 1,
        };
        let (tunnels, responder) = Tunnel::sharded(&config, [2; 32], 1);
        let node_keys = NodeKeys::new(PublicKey(tunnels[0].public_key()));
        let jobs = HandshakeJobs::new().unwrap();
        let udp = Arc::new(Udp::bind(0).unwrap());
        Handshakes::new(responder, node_keys, jobs, Vec::new(), udp).unwrap()
    }

    #[test]
    fn each_day_there_is_a_new_key_which_is_the_one_that_clients_are_told() {
        let mut handshakes = handshakes();
        let first = handshakes.node_keys.newest();
        let start = Instant::now();
        handshakes.change_keys(start + DAY / 2);
        assert!(
            handshakes.node_keys.newest() == first,
            "the day is not over"
        );
        handshakes.change_keys(start + DAY * 2);
        let second = handshakes.node_keys.newest();
        assert!(second != first && handshakes.node_keys.contain(first));
        assert_eq!(handshakes.next_key, start + DAY * 3);
        assert_eq!(handshakes.look_at_keys, start + DAY * 2 + LOOK_AT_KEYS);
    }
}
