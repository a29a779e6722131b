//! The loop of the handshake thread.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use mayfly_sys::udp::{SendBatch, Udp};
use mayfly_tunnel::Outbox;

use super::messages::{Answers, Orders};
use super::residue::Residue;
use super::{Responder, send};
use crate::stack;

/// Everything that the handshake thread owns, and its ends of what it shares.
pub struct Handshakes {
    responder: Responder,
    orders: Orders,
    /// To each packet thread.
    answers: Vec<Answers>,
    /// For cookies. Responses are the packet threads' to send: not before it can open what a
    /// client sends next.
    udp: Arc<Udp>,
    cookies: Outbox,
    batch: SendBatch,
    epoll: Epoll,
}

impl Handshakes {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new(
        responder: Responder,
        orders: Orders,
        answers: Vec<Answers>,
        udp: Arc<Udp>,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(
            orders.signal().as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN, 0),
        )?;
        Ok(Self {
            responder,
            orders,
            answers,
            udp,
            cookies: Outbox::new(),
            batch: SendBatch::default(),
            epoll,
        })
    }

    /// Answers initiations, in the order in which they came, for ever.
    pub fn run(mut self) {
        let mut residue = Residue::default();
        loop {
            let mut events = [EpollEvent::empty()];
            let deadline = self.responder.poll_timeout();
            // It cannot fail; if it does, there is nothing, and it is asked again.
            let _ = residue.wait(&self.epoll, &mut events, deadline, stack::scrub);
            residue.expect(Instant::now());
            self.turn();
        }
    }

    /// Does what there is to do. Never a part of `run`: what is in that frame is not scrubbed,
    /// and whole peers are moved about here.
    #[inline(never)]
    fn turn(&mut self) {
        for order in self.orders.take() {
            // One at a time: a client does not wait for those behind it.
            let now = Instant::now();
            // Why an initiation goes no further is for tests: nobody is told.
            let answer = self.responder.handle_job(order, &mut self.cookies, now);
            if let Ok(Some(answer)) = answer
                && let Some(answers) = self.answers.get(usize::from(answer.shard()))
            {
                answers.send(answer);
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
