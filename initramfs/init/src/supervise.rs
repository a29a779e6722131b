//! What PID 1 does for the daemon: start it, reap processes, keep the lease, restart.

use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::network::Network;
use crate::{Failure, wait};

const NODE: &str = "/bin/mayfly-node";

/// How long to wait if the network sets no time.
const IDLE: Duration = Duration::from_secs(3600);

/// The running daemon.
pub struct Node {
    pid: Pid,
    children: SignalFd,
}

/// Starts the daemon with its settings on standard input, so that they are in no file. It closes
/// `boot_hosts` to customers: they may give settings, which hold a secret, to the machine's address.
///
/// # Errors
/// [`Failure::Start`] if the daemon cannot be started, does not read its settings, or its end
/// cannot be watched.
pub fn start(
    settings: &str,
    boot_hosts: impl IntoIterator<Item = IpAddr>,
) -> Result<Node, Failure> {
    let boot_hosts = boot_hosts.into_iter().map(|host| host.to_string());
    spawn(settings, boot_hosts).map_err(|_| Failure::Start)
}

fn spawn(settings: &str, boot_hosts: impl Iterator<Item = String>) -> io::Result<Node> {
    let mut child = Command::new(NODE)
        .args(["--config", "-"])
        .args(boot_hosts.flat_map(|host| ["--boot-host".to_owned(), host]))
        .env_clear()
        .stdin(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(settings.as_bytes())?;
    }
    let mut ended = SigSet::empty();
    ended.add(Signal::SIGCHLD);
    ended.thread_block()?;
    Ok(Node {
        pid: Pid::from_raw(child.id().cast_signed()),
        children: SignalFd::with_flags(&ended, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
    })
}

impl Node {
    /// Reaps processes that end, and keeps the lease. Returns when the daemon has ended, or when
    /// the machine may no longer use its address.
    pub fn watch(&self, network: &mut Network) {
        while !self.has_ended() && network.turn().is_ok() {
            let until = network.next().unwrap_or_else(|| Instant::now() + IDLE);
            let mut descriptors = vec![self.children.as_fd()];
            descriptors.extend(network.descriptor());
            if wait::readable(&descriptors, until).is_err() {
                return;
            }
            while let Ok(Some(_)) = self.children.read_signal() {}
        }
    }

    fn has_ended(&self) -> bool {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(status) if status.pid() == Some(self.pid) => return true,
                Ok(status) if status.pid().is_some() => {}
                Ok(_) => return false,
                Err(_) => return true,
            }
        }
    }
}

/// Ends every other process and waits until the kernel has wiped its memory.
pub fn end_all() {
    let everyone = Pid::from_raw(-1);
    let _ = kill(everyone, Signal::SIGKILL);
    while waitpid(None, None).is_ok() {}
}

/// Restarts the machine. Returns only if the kernel refuses.
pub fn restart() -> Failure {
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    Failure::Restart
}
