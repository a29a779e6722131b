//! The daemon's life as seen from PID 1: start it, reap, keep the lease, restart.

use std::io::{self, Write as _};
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

/// How long to look at nothing when there is nothing to look at.
const IDLE: Duration = Duration::from_secs(3600);

/// The daemon, running.
pub struct Node {
    pid: Pid,
    children: SignalFd,
}

/// Starts the daemon with its settings on standard input, so that they lie nowhere.
///
/// # Errors
/// [`Failure::Start`]
pub fn start(settings: &str) -> Result<Node, Failure> {
    spawn(settings).map_err(|_| Failure::Start)
}

fn spawn(settings: &str) -> io::Result<Node> {
    let mut child = Command::new(NODE)
        .args(["--config", "-"])
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
    /// Reaps whatever ends and keeps the lease. Returns when the daemon has ended, or the
    /// machine's address may not be used any longer.
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

/// Restarts the machine. Returns only if the kernel will not.
pub fn restart() -> Failure {
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    Failure::Restart
}
