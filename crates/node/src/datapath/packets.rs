//! The loop of a packet thread.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use mayfly_sys::tun::Tun;
use mayfly_sys::udp::{RecvBatch, SendBatch, Udp};
use mayfly_tunnel::{Ecn, Endpoint, Frame, HandshakeJob, Outbox, Refusal};

use super::members::Members;
use super::messages::{Answers, CommandQueue, Orders};
use super::parcels::{Inbox, Parcel, Parcels};
use super::residue::Residue;
use super::{Tunnel, send};
use crate::stack;

/// Trains that are taken in at once. It bounds the outbox, and how long one descriptor keeps
/// the others waiting.
const BATCH: usize = 32;
/// Datagrams are sent once they have so many bytes together: about what a processor's second
/// cache holds beside the frame that they come from.
const ENOUGH: usize = 128 * 1024;

/// Initiations that wait for the handshake thread; what comes when there are so many is lost. It
/// does a handshake in less than a millisecond, and a client begins anew after five seconds.
const INITIATIONS: usize = 1_024;

/// What a packet thread waits for, and where it writes.
pub struct Descriptors {
    /// Its socket of the WireGuard port.
    pub udp: Arc<Udp>,
    /// Its queue of the TUN device.
    pub tun: Tun,
    /// What the control thread wants.
    pub commands: CommandQueue,
    /// To the handshake thread.
    pub orders: Orders,
    /// From it.
    pub answers: Answers,
    /// What each packet thread is handed by the others; its own is the one of its shard.
    pub inboxes: Vec<Inbox>,
}

/// Everything that a packet thread owns.
pub struct Packets {
    tunnel: Tunnel,
    descriptors: Descriptors,
    datagrams: RecvBatch,
    frame: Frame,
    batch: SendBatch,
    outbox: Outbox,
    /// For each packet thread what is its own and came here.
    strays: Vec<Parcels>,
    handed: Parcels,
    members: Members,
    residue: Residue,
    epoll: Epoll,
}

/// What epoll says is ready.
const UDP: u64 = 0;
const TUN: u64 = 1;
const COMMANDS: u64 = 2;
const ANSWERS: u64 = 3;
const INBOX: u64 = 4;
/// It says nothing while it lives.
const JANITOR: u64 = 5;

impl Packets {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new(tunnel: Tunnel, descriptors: Descriptors, members: Members) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        epoll.add(&*descriptors.udp, readable(UDP))?;
        epoll.add(&descriptors.tun, readable(TUN))?;
        epoll.add(descriptors.commands.signal(), readable(COMMANDS))?;
        epoll.add(descriptors.answers.signal(), readable(ANSWERS))?;
        if let Some(inbox) = descriptors.inboxes.get(usize::from(tunnel.shard())) {
            epoll.add(inbox.signal(), readable(INBOX))?;
        }
        epoll.add(&*members.janitor(), readable(JANITOR))?;
        let strays = descriptors.inboxes.iter().map(|_| Parcels::default());
        Ok(Self {
            tunnel,
            datagrams: RecvBatch::new(BATCH),
            frame: Frame::new(),
            batch: SendBatch::default(),
            outbox: Outbox::new(),
            strays: strays.collect(),
            handed: Parcels::default(),
            residue: Residue::default(),
            descriptors,
            members,
            epoll,
        })
    }

    /// Carries packets until the TUN device, the socket or the janitor is gone for good.
    ///
    /// # Errors
    /// What epoll or a descriptor said last.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 6];
        loop {
            let ready = self.wait(&mut events)?;
            self.turn(events.get(..ready).unwrap_or_default())?;
        }
    }

    /// Does what there is to do. Never a part of `run`: what is in that frame is not scrubbed.
    #[inline(never)]
    fn turn(&mut self, ready: &[EpollEvent]) -> io::Result<()> {
        let now = Instant::now();
        self.residue.expect(now);
        let is_ready = |token| ready.iter().any(|event| event.data() == token);
        if is_ready(JANITOR) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // First: a client whose enrolment was answered may have sent its initiation.
        if is_ready(COMMANDS) {
            let commands = self.descriptors.commands.take();
            self.members.obey(commands, &mut self.tunnel);
        }
        if is_ready(ANSWERS) {
            self.take_answers(now);
            self.carry_out();
        }
        // Before its own: what others have may be older, and of the same flow.
        if is_ready(INBOX) {
            self.take_parcels(now);
            self.carry_out();
        }
        if is_ready(UDP) {
            self.receive(now)?;
            self.carry_out();
        }
        if is_ready(TUN) {
            self.read(now)?;
            self.carry_out();
        }
        self.tunnel.handle_timeout(now, &mut self.outbox);
        self.carry_out();
        self.hand_over();
        self.members.notify(&mut self.tunnel);
        self.order();
        self.members.flush()
    }

    /// Waits for something to do, and zeroes what packets have left when it is time.
    fn wait(&mut self, events: &mut [EpollEvent]) -> io::Result<usize> {
        let again = self.members.poll_timeout();
        let deadline = self.tunnel.poll_timeout().into_iter().chain(again).min();
        let Self {
            datagrams,
            frame,
            outbox,
            batch,
            ..
        } = self;
        self.residue.wait(&self.epoll, events, deadline, || {
            datagrams.scrub();
            frame.scrub();
            outbox.scrub();
            batch.scrub();
            stack::scrub();
        })
    }

    fn take_answers(&mut self, now: Instant) {
        for answer in self.descriptors.answers.take() {
            // An answer that nobody waits for any more is dropped, with its keys.
            let _ = self.tunnel.handle_reply(answer, &mut self.outbox, now);
        }
    }

    fn take_parcels(&mut self, now: Instant) {
        let Self {
            tunnel,
            descriptors,
            handed,
            frame,
            outbox,
            ..
        } = self;
        if let Some(inbox) = descriptors.inboxes.get(usize::from(tunnel.shard())) {
            inbox.take(handed);
        }
        // What is nobody's here either is handed on no more.
        handed.drain(|parcel| match parcel {
            Parcel::Datagram(endpoint, ecn, datagram) => {
                let _ = tunnel.handle_datagram(endpoint, ecn, datagram, outbox, now);
            }
            Parcel::Frame(bytes) => {
                if let Some(room) = frame.room().get_mut(..bytes.len()) {
                    room.copy_from_slice(bytes);
                    frame.fill(bytes.len());
                    let _ = tunnel.handle_frame(frame, outbox, now);
                }
            }
        });
    }

    fn receive(&mut self, now: Instant) -> io::Result<()> {
        self.descriptors.udp.recv_batch(&mut self.datagrams)?;
        for train in self.datagrams.iter_mut() {
            let endpoint = Endpoint {
                remote: train.remote,
                local: train.local,
            };
            let ecn = Ecn::from_bits(train.ecn);
            for datagram in train.bytes.chunks_mut(train.segment) {
                let taken =
                    self.tunnel
                        .handle_datagram(endpoint, ecn, datagram, &mut self.outbox, now);
                // Why else a datagram went no further is for tests: nobody is told.
                if let Err(Refusal::OfShard(owner)) = taken
                    && let Some(stray) = self.strays.get_mut(usize::from(owner))
                {
                    stray.add_datagram(endpoint, ecn, datagram);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, now: Instant) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some(len) = self.descriptors.tun.read(self.frame.room())? else {
                return Ok(());
            };
            self.frame.fill(len);
            let taken = self
                .tunnel
                .handle_frame(&mut self.frame, &mut self.outbox, now);
            if let Err(Refusal::OfShard(owner)) = taken
                && let Some(stray) = self.strays.get_mut(usize::from(owner))
            {
                stray.add_frame(self.frame.room().get(..len).unwrap_or_default());
            }
            if self.outbox.datagram_bytes() >= ENOUGH {
                self.carry_out();
            }
        }
        Ok(())
    }

    fn carry_out(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        let Descriptors { tun, udp, .. } = &self.descriptors;
        self.outbox
            .write_frames(tun.has_udp_trains(), |frame| tun.write(frame));
        send(udp, &mut self.batch, &self.outbox);
        self.outbox.clear();
    }

    fn hand_over(&mut self) {
        for (stray, inbox) in self.strays.iter_mut().zip(&self.descriptors.inboxes) {
            inbox.put(stray);
        }
    }

    fn order(&mut self) {
        let orders = &self.descriptors.orders;
        while let Some(order) = self.tunnel.poll_job() {
            match order {
                HandshakeJob::Answer(_) => orders.send_within(order, INITIATIONS),
                _ => orders.send(order),
            }
        }
    }
}
