//! The last step: few system calls for all threads, and no thread more.

use std::sync::mpsc::Sender;

use tokio::runtime::Runtime;

use mayfly_sys::confine::{self, OnViolation};

use super::StartError;
use super::spawn::Spawned;
use crate::run::{Daemon, Stopped};
use crate::syscalls::ALLOWED;

/// A process that can only serve.
pub struct Sealed {
    runtime: Runtime,
    daemon: Daemon,
    gates: Vec<Sender<()>>,
    _proof: confine::Sealed,
}

impl Sealed {
    /// Puts the filter on all threads, and has each looked at whether all confinement is there.
    pub fn seal(spawned: Spawned) -> Result<Self, StartError> {
        let proof = spawned.confinement.seal(ALLOWED, OnViolation::Kill)?;
        Ok(Self {
            runtime: spawned.runtime,
            daemon: spawned.daemon,
            gates: spawned.gates,
            _proof: proof,
        })
    }

    /// Serves until the daemon is told to stop, or cannot go on.
    pub fn run(self) -> Stopped {
        for gate in self.gates {
            // If a packet thread is gone, the daemon hears so at once.
            let _ = gate.send(());
        }
        self.runtime.block_on(self.daemon.run())
    }
}
