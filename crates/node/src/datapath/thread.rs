//! The loop of the packet thread.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::sync::mpsc::UnboundedSender;
use zeroize::Zeroizing;

use mayfly_sys::tun::Tun;
use mayfly_sys::udp::{Outgoing, RecvBatch, SendBatch, Udp};
use mayfly_tunnel::{Enrolment, Event, Frame, Outbox, Path, PeerId, Tunnel};

use super::{Command, Commands};
use crate::enrolment::{EnrolmentId, Peer};

/// What the control thread hears: no key, address or volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The enrolment's session counts from now.
    SessionUp(EnrolmentId),
    /// The enrolment's session is over.
    SessionDown(EnrolmentId),
}

/// Trains that are taken in at once. It bounds the outbox, and how long one descriptor keeps
/// the others waiting.
const BATCH: usize = 32;
/// Datagrams are sent once they have so many bytes together: about what a processor's second
/// cache holds beside the frame that they come from.
const ENOUGH: usize = 128 * 1024;

/// Everything that the packet thread owns.
pub struct Datapath {
    tunnel: Tunnel,
    udp: Udp,
    tun: Tun,
    datagrams: RecvBatch,
    frame: Frame,
    answers: SendBatch,
    commands: Commands,
    notices: UnboundedSender<Notice>,
    outbox: Outbox,
    peers: HashMap<EnrolmentId, PeerId>,
    enrolments: HashMap<PeerId, EnrolmentId>,
    epoll: Epoll,
}

/// What epoll says is ready.
const UDP: u64 = 0;
const TUN: u64 = 1;
const COMMANDS: u64 = 2;

impl Datapath {
    /// Waits for nothing yet.
    ///
    /// # Errors
    /// No descriptor left.
    pub fn new(
        tunnel: Tunnel,
        udp: Udp,
        tun: Tun,
        commands: Commands,
        notices: UnboundedSender<Notice>,
    ) -> nix::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let readable = |token| EpollEvent::new(EpollFlags::EPOLLIN, token);
        epoll.add(&udp, readable(UDP))?;
        epoll.add(&tun, readable(TUN))?;
        epoll.add(commands.signal(), readable(COMMANDS))?;
        Ok(Self {
            tunnel,
            udp,
            tun,
            datagrams: RecvBatch::new(BATCH),
            frame: Frame::new(),
            answers: SendBatch::default(),
            commands,
            notices,
            outbox: Outbox::new(),
            peers: HashMap::new(),
            enrolments: HashMap::new(),
            epoll,
        })
    }

    /// Carries packets until the TUN device or the socket is gone for good.
    ///
    /// # Errors
    /// What epoll or a descriptor said last.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); 3];
        loop {
            let ready = self.wait(&mut events)?;
            let now = Instant::now();
            let ready = events.get(..ready).unwrap_or_default();
            let is_ready = |token| ready.iter().any(|event| event.data() == token);
            // First: a client whose enrolment was answered may have sent its initiation.
            if is_ready(COMMANDS) {
                self.obey();
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
        }
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
        interrupted_is_none(self.epoll.wait(events, self.patience()))
    }

    /// Until the tunnel wants to be called again, rounded up: waking early is a busy loop.
    fn patience(&self) -> EpollTimeout {
        let Some(deadline) = self.tunnel.poll_timeout() else {
            return EpollTimeout::NONE;
        };
        let patience = deadline.saturating_duration_since(Instant::now());
        EpollTimeout::try_from(patience + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
    }

    fn receive(&mut self, now: Instant) -> io::Result<()> {
        self.udp.recv_batch(&mut self.datagrams)?;
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
            let Some(len) = self.tun.read(self.frame.room())? else {
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
        let tun = &self.tun;
        self.outbox
            .write_frames(tun.has_udp_trains(), |frame| tun.write(frame));
        let trains = self.outbox.trains().map(|train| Outgoing {
            remote: train.path.remote,
            local: train.path.local,
            segment: train.segment,
            bytes: train.bytes,
        });
        self.udp.send_batch(&mut self.answers, trains);
        self.outbox.clear();
    }

    fn obey(&mut self) {
        for command in self.commands.take() {
            match command {
                Command::Add(id, peer) => self.add(id, &peer),
                Command::Remove(id) => {
                    if let Some(peer) = self.peers.remove(&id) {
                        self.enrolments.remove(&peer);
                        self.tunnel.remove_peer(peer);
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
        // The registry lets nobody through whom the tunnel would refuse.
        debug_assert!(added.is_ok());
        if let Ok(added) = added {
            self.peers.insert(id, added);
            self.enrolments.insert(added, id);
        }
    }

    fn notify(&mut self) {
        while let Some(event) = self.tunnel.poll_event() {
            let (notice, peer): (fn(_) -> _, _) = match event {
                Event::SessionUp(peer) => (Notice::SessionUp, peer),
                Event::SessionDown(peer) => (Notice::SessionDown, peer),
            };
            // A peer that was removed is known to be down.
            if let Some(id) = self.enrolments.get(&peer) {
                // Nobody listens once the process is about to end.
                let _ = self.notices.send(notice(*id));
            }
        }
    }
}

fn interrupted_is_none(ready: nix::Result<usize>) -> io::Result<usize> {
    match ready {
        Err(Errno::EINTR) => Ok(0),
        ready => Ok(ready?),
    }
}
