//! The loop of the packet thread.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::sync::mpsc::UnboundedSender;
use zeroize::Zeroizing;

use mayfly_sys::tun::Tun;
use mayfly_sys::udp::{RecvBatch, SendBatch, Udp};
use mayfly_tunnel::{Enrolment, Event, Frame, Order, Outbox, Path, PeerId, Tunnel};

use super::messages::{Answers, Command, Commands, Notice, Orders};
use super::{patience, send};
use crate::enrolment::{EnrolmentId, Peer};
use crate::janitor::Janitor;
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

/// What the packet thread waits for, and where it writes.
pub struct Descriptors {
    pub udp: Arc<Udp>,
    pub tun: Tun,
    pub commands: Commands,
    pub orders: Orders,
    pub answers: Answers,
    pub janitor: Janitor,
}

/// Everything that the packet thread owns.
pub struct Packets {
    tunnel: Tunnel,
    descriptors: Descriptors,
    datagrams: RecvBatch,
    frame: Frame,
    batch: SendBatch,
    notices: UnboundedSender<Notice>,
    outbox: Outbox,
    peers: HashMap<EnrolmentId, PeerId>,
    enrolments: HashMap<PeerId, Enrolled>,
    epoll: Epoll,
}

/// What the rest of the node knows a peer by.
struct Enrolled {
    id: EnrolmentId,
    ipv4: Ipv4Addr,
    ipv6: Option<Ipv6Addr>,
}

/// What epoll says is ready.
const UDP: u64 = 0;
const TUN: u64 = 1;
const COMMANDS: u64 = 2;
const ANSWERS: u64 = 3;
/// It says nothing while it lives.
const JANITOR: u64 = 4;
/// How long what the janitor could not take waits.
const JANITOR_BUSY: Duration = Duration::from_millis(50);

impl Packets {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new(
        tunnel: Tunnel,
        descriptors: Descriptors,
        notices: UnboundedSender<Notice>,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        epoll.add(&*descriptors.udp, readable(UDP))?;
        epoll.add(&descriptors.tun, readable(TUN))?;
        epoll.add(descriptors.commands.signal(), readable(COMMANDS))?;
        epoll.add(descriptors.answers.signal(), readable(ANSWERS))?;
        epoll.add(&descriptors.janitor, readable(JANITOR))?;
        Ok(Self {
            tunnel,
            descriptors,
            datagrams: RecvBatch::new(BATCH),
            frame: Frame::new(),
            batch: SendBatch::default(),
            notices,
            outbox: Outbox::new(),
            peers: HashMap::new(),
            enrolments: HashMap::new(),
            epoll,
        })
    }

    /// Carries packets until the TUN device, the socket or the janitor is gone for good.
    ///
    /// # Errors
    /// What epoll or a descriptor said last.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 5];
        loop {
            let ready = self.wait(&mut events)?;
            self.turn(events.get(..ready).unwrap_or_default())?;
        }
    }

    /// Does what there is to do. Never a part of `run`: what is in that frame is not scrubbed.
    #[inline(never)]
    fn turn(&mut self, ready: &[EpollEvent]) -> io::Result<()> {
        let now = Instant::now();
        let is_ready = |token| ready.iter().any(|event| event.data() == token);
        if is_ready(JANITOR) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // First: a client whose enrolment was answered may have sent its initiation.
        if is_ready(COMMANDS) {
            self.obey();
        }
        if is_ready(ANSWERS) {
            self.take_answers(now);
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
        self.notify();
        self.order();
        self.descriptors.janitor.flush()
    }

    /// Waits for something to do. Before it sleeps, it zeroes what packets have left in its
    /// buffers: while packets come they overwrite each other, and then nothing would.
    fn wait(&mut self, events: &mut [EpollEvent]) -> io::Result<usize> {
        let now = self.epoll.wait(events, EpollTimeout::ZERO);
        if !matches!(now, Ok(0)) {
            return interrupted_is_none(now);
        }
        self.datagrams.scrub();
        self.frame.scrub();
        self.outbox.scrub();
        self.batch.scrub();
        stack::scrub();
        let again = self.descriptors.janitor.is_behind();
        let again = again.then(|| Instant::now() + JANITOR_BUSY);
        let patience = patience(
            [self.tunnel.poll_timeout(), again]
                .into_iter()
                .flatten()
                .min(),
        );
        interrupted_is_none(self.epoll.wait(events, patience))
    }

    fn take_answers(&mut self, now: Instant) {
        for answer in self.descriptors.answers.take() {
            // An answer that nobody waits for any more is dropped, with its keys.
            let _ = self.tunnel.handle_answer(answer, &mut self.outbox, now);
        }
    }

    fn receive(&mut self, now: Instant) -> io::Result<()> {
        self.descriptors.udp.recv_batch(&mut self.datagrams)?;
        for train in self.datagrams.iter_mut() {
            let path = Path {
                remote: train.remote,
                local: train.local,
            };
            for datagram in train.bytes.chunks_mut(train.segment) {
                // Why a datagram went no further is for tests: nobody is told.
                let _ = self
                    .tunnel
                    .handle_datagram(path, datagram, &mut self.outbox, now);
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
            let _ = self
                .tunnel
                .handle_frame(&mut self.frame, &mut self.outbox, now);
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

    fn obey(&mut self) {
        for command in self.descriptors.commands.take() {
            match command {
                Command::Add(id, peer) => self.add(id, &peer),
                Command::Remove(id) => {
                    if let Some(peer) = self.peers.remove(&id) {
                        self.tunnel.remove_peer(peer);
                        if let Some(enrolled) = self.enrolments.remove(&peer) {
                            enrolled.forget_connections(&mut self.descriptors.janitor);
                        }
                    }
                }
                Command::End(id) => {
                    if let Some(peer) = self.peers.get(&id) {
                        self.tunnel.end_session(*peer);
                    }
                }
            }
        }
    }

    fn add(&mut self, id: EnrolmentId, peer: &Peer) {
        let added = self.tunnel.add_peer(Enrolment {
            public_key: peer.public_key.0,
            preshared_key: Zeroizing::new(peer.preshared_key.0),
            ipv4: peer.ipv4,
            ipv6: peer.ipv6,
        });
        // The registry lets nobody through whom tunnel or responder would refuse.
        debug_assert!(added.is_ok());
        if let Ok(added) = added {
            self.peers.insert(id, added);
            let (ipv4, ipv6) = (peer.ipv4, peer.ipv6);
            self.enrolments.insert(added, Enrolled { id, ipv4, ipv6 });
        }
    }

    fn order(&mut self) {
        let orders = &self.descriptors.orders;
        while let Some(order) = self.tunnel.poll_order() {
            match order {
                Order::Answer(_) => orders.send_within(order, INITIATIONS),
                _ => orders.send(order),
            }
        }
    }

    fn notify(&mut self) {
        while let Some(event) = self.tunnel.poll_event() {
            let (notice, peer): (fn(_) -> _, _) = match event {
                Event::SessionUp(peer) => (Notice::SessionUp, peer),
                Event::SessionDown(peer) => (Notice::SessionDown, peer),
            };
            // A peer that was removed is known to be down.
            if let Some(enrolled) = self.enrolments.get(&peer) {
                if matches!(event, Event::SessionDown(_)) {
                    enrolled.forget_connections(&mut self.descriptors.janitor);
                }
                // Nobody listens once the process is about to end.
                let _ = self.notices.send(notice(enrolled.id));
            }
        }
    }
}

impl Enrolled {
    /// Nothing more of this peer goes into the TUN device by now.
    fn forget_connections(&self, janitor: &mut Janitor) {
        janitor.forget(self.ipv4.into());
        if let Some(ipv6) = self.ipv6 {
            janitor.forget(ipv6.into());
        }
    }
}

fn interrupted_is_none(ready: nix::Result<usize>) -> io::Result<usize> {
    match ready {
        Err(Errno::EINTR) => Ok(0),
        ready => Ok(ready?),
    }
}
