//! The peers of a packet thread, for the rest of the node.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use zeroize::Zeroizing;

use mayfly_tunnel::{Event, PeerConfig};

use super::Tunnel;
use super::messages::{Command, Notice};
use crate::enrolment::{Client, EnrolmentId};
use crate::janitor::Janitor;

/// Retry delay after the janitor's socket was full.
const JANITOR_BUSY: Duration = Duration::from_millis(50);

/// Adds and removes peers by command. The tunnel's events go to the control thread, and addresses
/// whose connections the kernel must forget go to the janitor. The tunnel knows each peer by its
/// enrolment.
pub(crate) struct Members {
    notices: UnboundedSender<Option<Notice>>,
    janitor: Arc<Mutex<Janitor>>,
    /// Who has a session. Nobody else has connections that the janitor was not told of.
    up: HashSet<EnrolmentId>,
    /// Whether there may be addresses that the janitor has not been told.
    is_behind: bool,
}

impl Members {
    /// All threads share the janitor and its lock. No packet needs that lock.
    pub(crate) fn new(
        notices: UnboundedSender<Option<Notice>>,
        janitor: Arc<Mutex<Janitor>>,
    ) -> Self {
        Self {
            notices,
            janitor,
            up: HashSet::new(),
            is_behind: false,
        }
    }

    /// The janitor, locked for this thread.
    pub(crate) fn janitor(&self) -> MutexGuard<'_, Janitor> {
        self.janitor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies the commands of the control thread.
    pub(crate) fn apply(&mut self, commands: Vec<Command>, tunnel: &mut Tunnel) {
        for command in commands {
            match command {
                Command::Add(id, client) => add(id, &client, tunnel),
                Command::Remove(id) => self.remove(id, tunnel),
                Command::End(id) => tunnel.end_session(id),
            }
        }
    }

    /// Tells the control thread which sessions began and ended.
    pub(crate) fn notify(&mut self, tunnel: &mut Tunnel) {
        while let Some(event) = tunnel.poll_event() {
            let notice = match event {
                Event::SessionUp(id) => {
                    self.up.insert(id);
                    Notice::SessionUp(id)
                }
                Event::SessionDown(id) => {
                    self.forget_connections(id, tunnel);
                    Notice::SessionDown(id)
                }
            };
            // The control thread knows already which peers it removed. The send fails only when the
            // process is about to end.
            let _ = self.notices.send(Some(notice));
        }
    }

    /// Takes the janitor's answers, and tells the control thread whose addresses have rested.
    ///
    /// # Errors
    /// The janitor's process is gone.
    pub(crate) fn hear(&mut self) -> io::Result<()> {
        self.janitor().hear()?;
        self.tell_rested();
        Ok(())
    }

    /// Tells the janitor the addresses that it has not been told, as far as it has room.
    ///
    /// # Errors
    /// The janitor's process is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.is_behind {
            let mut janitor = self.janitor();
            janitor.flush()?;
            let is_behind = janitor.is_behind();
            drop(janitor);
            self.is_behind = is_behind;
        }
        Ok(())
    }

    /// When to call [`flush`](Self::flush) again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.is_behind.then(|| Instant::now() + JANITOR_BUSY)
    }

    fn remove(&mut self, id: EnrolmentId, tunnel: &mut Tunnel) {
        self.forget_connections(id, tunnel);
        tunnel.remove_peer(id);
        self.janitor().tell_when_done(id);
        // At once, if the janitor has nothing to do.
        self.tell_rested();
    }

    /// Has the kernel forget the connections of a peer whose packets no longer go to the TUN device,
    /// if it had a session.
    fn forget_connections(&mut self, id: EnrolmentId, tunnel: &Tunnel) {
        if self.up.remove(&id) {
            let mut janitor = self.janitor();
            tunnel
                .addresses(id)
                .for_each(|address| janitor.forget(address));
            drop(janitor);
            self.is_behind = true;
        }
    }

    fn tell_rested(&self) {
        let mut janitor = self.janitor();
        while let Some(id) = janitor.rested() {
            // As with events: it fails only when the process is about to end.
            let _ = self.notices.send(Some(Notice::Rested(id)));
        }
    }
}

fn add(id: EnrolmentId, client: &Client, tunnel: &mut Tunnel) {
    let config = PeerConfig {
        public_key: client.public_key.0,
        preshared_key: Zeroizing::new(client.preshared_key.0),
        ipv4: client.ipv4,
        ipv6: client.ipv6,
    };
    let added = tunnel.add_peer(id, config);
    // The registry refuses what the tunnel or the responder would refuse, and removes a peer before
    // its addresses or its key go to another.
    debug_assert!(added.is_ok());
}

impl Drop for Members {
    /// The thread ends, for whatever reason. From now on no packet of its peers is carried.
    fn drop(&mut self) {
        let _ = self.notices.send(None);
    }
}
