//! The loop of the handshake thread.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use mayfly_sys::udp::{SendBatch, Udp};
use mayfly_tunnel::Outbox;

use super::messages::{HandshakeJobs, HandshakeReplies};
use super::scrub_timer::ScrubTimer;
use super::{Responder, send};
use crate::stack;

/// Everything that the handshake thread owns, and its ends of the queues.
pub(crate) struct Handshakes {
    responder: Responder,
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
            let deadline = self.responder.poll_timeout();
            // It cannot fail. If it did, the loop would find nothing to do and wait again.
            let _ = scrub_timer.wait(&self.epoll, &mut events, deadline, stack::scrub);
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
        self.responder.handle_timeout(Instant::now());
    }

    fn send_cookies(&mut self) {
        if !self.cookies.is_empty() {
            send(&self.udp, &mut self.batch, &self.cookies);
            self.cookies.scrub();
            self.batch.scrub();
        }
    }
}
