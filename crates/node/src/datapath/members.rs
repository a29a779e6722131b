//! The peers of a packet thread, as the rest of the node knows them.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use zeroize::Zeroizing;

use mayfly_tunnel::{Event, PeerConfig};

use super::Tunnel;
use super::messages::{Command, Notice};
use crate::enrolment::{EnrolmentId, Peer};
use crate::janitor::Janitor;

/// How long what the janitor could not take waits.
const JANITOR_BUSY: Duration = Duration::from_millis(50);

/// They come and go by commands; what the tunnel says of them goes to the control thread, and what
/// the kernel must forget of them to the janitor. The tunnel knows each by its enrolment.
pub struct Members {
    notices: UnboundedSender<Option<Notice>>,
    janitor: Arc<Mutex<Janitor>>,
    /// Whether the janitor may not have been told all.
    is_behind: bool,
}

impl Members {
    /// All threads share the janitor, and its lock, which no packet needs.
    pub fn new(notices: UnboundedSender<Option<Notice>>, janitor: Arc<Mutex<Janitor>>) -> Self {
        Self {
            notices,
            janitor,
            is_behind: false,
        }
    }

    /// The janitor, as long as nobody else may have it.
    pub fn janitor(&self) -> MutexGuard<'_, Janitor> {
        self.janitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what the control thread wants.
    pub fn obey(&mut self, commands: Vec<Command>, tunnel: &mut Tunnel) {
        for command in commands {
            match command {
                Command::Add(id, peer) => add(id, &peer, tunnel),
                Command::Remove(id) => {
                    self.forget_connections(tunnel.addresses(id));
                    tunnel.remove_peer(id);
                }
                Command::End(id) => tunnel.end_session(id),
            }
        }
    }

    /// Tells the control thread whose sessions began and ended.
    pub fn notify(&mut self, tunnel: &mut Tunnel) {
        while let Some(event) = tunnel.poll_event() {
            let notice = match event {
                Event::SessionUp(id) => Notice::SessionUp(id),
                Event::SessionDown(id) => {
                    self.forget_connections(tunnel.addresses(id));
                    Notice::SessionDown(id)
                }
            };
            // Of a peer that was removed the control thread knows already. Nobody listens once the
            // process is about to end.
            let _ = self.notices.send(Some(notice));
        }
    }

    /// Tells the janitor what it was not told yet, as far as it takes it.
    ///
    /// # Errors
    /// It is gone.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.is_behind {
            let mut janitor = self.janitor();
            janitor.flush()?;
            let is_behind = janitor.is_behind();
            drop(janitor);
            self.is_behind = is_behind;
        }
        Ok(())
    }

    /// When [`flush`](Self::flush) wants to be called again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.is_behind.then(|| Instant::now() + JANITOR_BUSY)
    }

    /// These are inner addresses of a peer of which nothing more goes into the TUN device.
    fn forget_connections(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let mut janitor = self.janitor();
        addresses.for_each(|address| janitor.forget(address));
        drop(janitor);
        self.is_behind = true;
    }
}

fn add(id: EnrolmentId, peer: &Peer, tunnel: &mut Tunnel) {
    let config = PeerConfig {
        public_key: peer.public_key.0,
        preshared_key: Zeroizing::new(peer.preshared_key.0),
        ipv4: peer.ipv4,
        ipv6: peer.ipv6,
    };
    let added = tunnel.add_peer(id, config);
    // The registry lets nobody through whom tunnel or responder would refuse.
    debug_assert!(added.is_ok());
}

impl Drop for Members {
    /// The thread ends, however it does: no packet of its peers is carried any more.
    fn drop(&mut self) {
        let _ = self.notices.send(None);
    }
}
