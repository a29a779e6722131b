//! The loop of the packet thread.

use std::collections::HashMap;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio::sync::mpsc::UnboundedSender;
use zeroize::Zeroizing;

use mayfly_sys::tun::{self, Tun};
use mayfly_sys::udp::{RecvBatch, SendBatch, Udp};
use mayfly_tunnel::{Enrolment, Event, Outbox, Path, PeerId, Tunnel};

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

/// Packets or datagrams that are taken in at once. It bounds the outbox, and how long
/// one descriptor keeps the others waiting.
const BATCH: usize = 64;

/// Everything that the packet thread owns.
pub struct Datapath {
    tunnel: Tunnel,
    udp: Udp,
    tun: Tun,
    datagrams: RecvBatch,
    packets: tun::Batch,
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
            packets: tun::Batch::new(BATCH),
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
            let ready = match self.epoll.wait(&mut events, self.patience()) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => 0,
                Err(error) => return Err(error.into()),
            };
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
        for datagram in self.datagrams.iter_mut() {
            let path = Path {
                remote: datagram.remote,
                local: datagram.local,
            };
            // Why a datagram went no further is for tests: nobody is told.
            let _ = self
                .tunnel
                .handle_datagram(path, datagram.bytes, &mut self.outbox, now);
        }
        Ok(())
    }

    fn read(&mut self, now: Instant) -> io::Result<()> {
        self.tun.read_batch(&mut self.packets)?;
        for packet in self.packets.iter() {
            let _ = self.tunnel.handle_packet(packet, &mut self.outbox, now);
        }
        Ok(())
    }

    fn carry_out(&mut self) {
        if self.outbox.is_empty() {
            return;
        }
        self.tun.write_batch(self.outbox.packets());
        let datagrams = self.outbox.datagrams();
        let datagrams = datagrams.map(|out| (out.path.remote, out.path.local, out.bytes));
        self.udp.send_batch(&mut self.answers, datagrams);
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
