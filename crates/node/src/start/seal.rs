//! The last step: all threads are left with few system calls, and no thread can be made.

use std::sync::mpsc::Sender;

use tokio::runtime::Runtime;

use mayfly_sys::confine::{self, OnViolation};

use super::StartError;
use super::spawn::Spawned;
use crate::run::{Daemon, Stopped};
use crate::syscalls::ALLOWED;

/// A process that can do nothing but serve.
pub(super) struct Sealed {
    runtime: Runtime,
    daemon: Daemon,
    gates: Vec<Sender<()>>,
    _proof: confine::Sealed,
}

impl Sealed {
    /// Puts the filter on all threads, and checks that each of them is fully confined.
    pub(super) fn seal(spawned: Spawned) -> Result<Self, StartError> {
        let proof = spawned.confinement.seal(ALLOWED, OnViolation::Kill)?;
        Ok(Self {
            runtime: spawned.runtime,
            daemon: spawned.daemon,
            gates: spawned.gates,
            _proof: proof,
        })
    }

    /// Serves until the daemon is told to stop, or cannot go on.
    pub(super) fn run(self) -> Stopped {
        for gate in self.gates {
            // If a packet thread is gone, the daemon learns it at once from its last notice.
            let _ = gate.send(());
        }
        self.runtime.block_on(self.daemon.run())
    }
}
