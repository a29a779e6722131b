//! The loop of a packet thread.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use mayfly_sys::tun::Tun;
use mayfly_sys::udp::{RecvBatch, SendBatch, Udp};
use mayfly_tunnel::{Ecn, Endpoint, Frame, HandshakeJob, Outbox, Refusal};

use super::handoff::{Handoff, HandoffBatch, HandoffQueue};
use super::members::Members;
use super::messages::{CommandQueue, HandshakeJobs, HandshakeReplies};
use super::scrub_timer::ScrubTimer;
use super::{Tunnel, send};
use crate::stack;

/// How many trains are received at once. It bounds the outbox, and how long one descriptor keeps
/// the others waiting.
const BATCH: usize = 32;
/// Datagrams are sent once they have this many bytes together: about what a processor's
/// second-level cache holds beside the frame that they come from.
const SEND_THRESHOLD: usize = 128 * 1024;

/// How many initiations may wait for the handshake thread. Further ones are lost. A handshake takes
/// less than a millisecond, and a client begins again after five seconds.
const MAX_INITIATIONS: usize = 1_024;

/// What a packet thread waits for and writes to.
pub(crate) struct Descriptors {
    /// Its socket on the WireGuard port.
    pub udp: Arc<Udp>,
    /// Its queue of the TUN device.
    pub tun: Tun,
    /// From the control thread.
    pub commands: CommandQueue,
    /// To the handshake thread.
    pub jobs: HandshakeJobs,
    /// From the handshake thread.
    pub replies: HandshakeReplies,
    /// The queue of packets for each packet thread.
    pub handoff_queues: Vec<HandoffQueue>,
    /// That of this thread among them.
    pub own_handoffs: HandoffQueue,
}

/// Everything that a packet thread owns.
pub(crate) struct Packets {
    tunnel: Tunnel,
    descriptors: Descriptors,
    datagrams: RecvBatch,
    frame: Frame,
    batch: SendBatch,
    outbox: Outbox,
    /// For each packet thread, the packets that are its own and came here.
    outgoing_handoffs: Vec<HandoffBatch>,
    incoming_handoffs: HandoffBatch,
    members: Members,
    scrub_timer: ScrubTimer,
    epoll: Epoll,
}

/// What is ready, as epoll's tokens.
const UDP: u64 = 0;
const TUN: u64 = 1;
const COMMANDS: u64 = 2;
const REPLIES: u64 = 3;
const HANDOFFS: u64 = 4;
/// Readable when the janitor has answered, or is gone.
const JANITOR: u64 = 5;

impl Packets {
    /// Makes the loop, which does not run yet.
    ///
    /// # Errors
    /// There is no descriptor left for epoll.
    pub(crate) fn new(
        tunnel: Tunnel,
        descriptors: Descriptors,
        members: Members,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        epoll.add(&*descriptors.udp, readable(UDP))?;
        epoll.add(&descriptors.tun, readable(TUN))?;
        epoll.add(descriptors.commands.signal(), readable(COMMANDS))?;
        epoll.add(descriptors.replies.signal(), readable(REPLIES))?;
        epoll.add(descriptors.own_handoffs.signal(), readable(HANDOFFS))?;
        epoll.add(&*members.janitor(), readable(JANITOR))?;
        let queues = descriptors.handoff_queues.iter();
        let outgoing_handoffs = queues.map(HandoffQueue::new_batch).collect();
        Ok(Self {
            tunnel,
            datagrams: RecvBatch::new(BATCH),
            frame: Frame::new(),
            batch: SendBatch::default(),
            outbox: Outbox::new(),
            outgoing_handoffs,
            incoming_handoffs: descriptors.own_handoffs.new_batch(),
            scrub_timer: ScrubTimer::default(),
            descriptors,
            members,
            epoll,
        })
    }

    /// Carries packets until the TUN device, the socket or the janitor is gone for good.
    ///
    /// # Errors
    /// The error of epoll or of the descriptor that is gone.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 6];
        loop {
            let ready = self.wait(&mut events)?;
            self.turn(events.get(..ready).unwrap_or_default())?;
        }
    }

    /// Does all work that is due. It is never inlined into `run`, whose stack frame is not
    /// scrubbed.
    #[inline(never)]
    fn turn(&mut self, ready: &[EpollEvent]) -> io::Result<()> {
        let now = Instant::now();
        self.scrub_timer.expect(now);
        let is_ready = |token| ready.iter().any(|event| event.data() == token);
        if is_ready(JANITOR) {
            self.members.hear()?;
        }
        // Commands come first: a client whose enrolment was answered may have sent its initiation.
        if is_ready(COMMANDS) {
            let commands = self.descriptors.commands.take();
            self.members.apply(commands, &mut self.tunnel);
        }
        if is_ready(REPLIES) {
            self.take_replies(now);
            self.send_outbox();
        }
        // Before the thread's own packets: those of others may be older, and of the same flow.
        if is_ready(HANDOFFS) {
            self.take_handoffs(now);
            self.send_outbox();
        }
        if is_ready(UDP) {
            self.receive(now)?;
            self.send_outbox();
        }
        if is_ready(TUN) {
            self.read(now)?;
            self.send_outbox();
        }
        self.tunnel.handle_timeout(now, &mut self.outbox);
        self.send_outbox();
        self.hand_over();
        self.members.notify(&mut self.tunnel);
        self.send_jobs();
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
            descriptors,
            incoming_handoffs,
            outgoing_handoffs,
            ..
        } = self;
        self.scrub_timer.wait(&self.epoll, events, deadline, || {
            datagrams.scrub();
            frame.scrub();
            outbox.scrub();
            batch.scrub();
            descriptors.own_handoffs.shrink();
            incoming_handoffs.shrink();
            outgoing_handoffs.iter_mut().for_each(HandoffBatch::shrink);
            stack::scrub();
        })
    }

    fn take_replies(&mut self, now: Instant) {
        for reply in self.descriptors.replies.take() {
            // A reply whose peer is gone is dropped with its keys.
            let _ = self.tunnel.handle_reply(reply, &mut self.outbox, now);
        }
    }

    fn take_handoffs(&mut self, now: Instant) {
        let Self {
            tunnel,
            descriptors,
            incoming_handoffs,
            frame,
            outbox,
            ..
        } = self;
        descriptors.own_handoffs.take(incoming_handoffs);
        // A packet that no peer here owns is dropped, not forwarded again.
        incoming_handoffs.drain(|handoff| match handoff {
            Handoff::Datagram(endpoint, ecn, datagram) => {
                let _ = tunnel.handle_datagram(endpoint, ecn, datagram, outbox, now);
            }
            Handoff::Frame(bytes) => {
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
                // Any other refusal is for tests. It is reported nowhere.
                if let Err(Refusal::OfShard(owner)) = taken
                    && let Some(batch) = self.outgoing_handoffs.get_mut(usize::from(owner))
                {
                    batch.add_datagram(endpoint, ecn, datagram);
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
                && let Some(batch) = self.outgoing_handoffs.get_mut(usize::from(owner))
            {
                batch.add_frame(self.frame.room().get(..len).unwrap_or_default());
            }
            if self.outbox.datagram_bytes() >= SEND_THRESHOLD {
                self.send_outbox();
            }
        }
        Ok(())
    }

    fn send_outbox(&mut self) {
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
        let queues = &self.descriptors.handoff_queues;
        for (batch, queue) in self.outgoing_handoffs.iter_mut().zip(queues) {
            queue.put(batch);
        }
    }

    fn send_jobs(&mut self) {
        let jobs = &self.descriptors.jobs;
        while let Some(job) = self.tunnel.poll_job() {
            match job {
                HandshakeJob::Answer(_) => jobs.send_within(job, MAX_INITIATIONS),
                _ => jobs.send(job),
            }
        }
    }
}
