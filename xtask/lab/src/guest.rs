//! The node: the image in QEMU, on a TAP device of the hub.

use std::fs::{self, File};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mayfly_host::process::Job;
use mayfly_host::signals;

use crate::healthz::healthz;
use crate::network::{Lab, NODE};
use crate::operator::Operator;
use crate::qemu::{self, Accelerator, Machine};

/// How long a guest may take until it asks for its settings.
const PATIENCE: [(Accelerator, Duration); 2] = [
    (Accelerator::Kvm, Duration::from_secs(10)),
    (Accelerator::Tcg, Duration::from_secs(300)),
];
/// How long a node may take from its settings to its first client, on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(10);

/// A running guest.
pub struct Guest {
    /// What runs it.
    pub accelerator: Accelerator,
    /// When QEMU was started.
    pub started: Instant,
    job: Job,
    complaints: PathBuf,
}

impl Guest {
    /// Starts a machine with the image, under the first accelerator with which the image gets as
    /// far as asking for its settings.
    ///
    /// # Errors
    /// It asks for them under no accelerator.
    pub fn boot(lab: &Lab, operator: &Operator, machine: &Machine) -> Result<Self> {
        let mut last = None;
        for (accelerator, patience) in PATIENCE {
            if !accelerator.is_there() {
                continue;
            }
            let mut guest = Self::start(lab, machine, accelerator)?;
            match guest.await_first_request(operator, patience) {
                Ok(()) => return Ok(guest),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error),
            None => bail!("no accelerator to try"),
        }
    }

    /// Starts a machine in the hub's namespace.
    ///
    /// # Errors
    /// QEMU does not start.
    pub fn start(lab: &Lab, machine: &Machine, accelerator: Accelerator) -> Result<Self> {
        let complaints = lab.file("qemu.log");
        let mut command = lab.hub.command([qemu::PROGRAM]);
        command
            .args(machine.words(accelerator))
            .stderr(File::create(&complaints).context("cannot write QEMU's log")?);
        let started = Instant::now();
        Ok(Self {
            accelerator,
            started,
            job: Job::start(&mut command, "QEMU")?,
            complaints,
        })
    }

    fn await_first_request(&mut self, operator: &Operator, patience: Duration) -> Result<()> {
        let before = operator.bundle_requests();
        while operator.bundle_requests() == before {
            self.still_runs()?;
            if self.started.elapsed() > patience {
                bail!(
                    "the guest did not ask for its settings within {} s",
                    patience.as_secs()
                );
            }
            signals::check()?;
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Waits until the node says that it takes clients and is counted.
    ///
    /// # Errors
    /// It does not, or has ended.
    pub fn await_clients(&mut self, lab: &Lab) -> Result<()> {
        self.await_clients_for(lab, LIMIT)
    }

    /// The same, for no longer than `limit`.
    ///
    /// # Errors
    /// As [`Self::await_clients`].
    pub fn await_clients_for(&mut self, lab: &Lab, limit: Duration) -> Result<()> {
        let mut last = "nothing".to_owned();
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Ok(word) = lab.hub.inside(|| healthz(NODE)) {
                if word == "ok" {
                    return Ok(());
                }
                last = word;
            }
            self.still_runs()?;
            signals::check()?;
            thread::sleep(LOOK);
        }
        bail!(
            "the node's last word was: {last}, after {} s",
            limit.as_secs()
        )
    }

    /// The process that runs it.
    pub fn id(&self) -> u32 {
        self.job.id()
    }

    /// # Errors
    /// QEMU has ended: the guest panicked, or its node gave up.
    pub fn still_runs(&mut self) -> Result<()> {
        // After this QEMU goes on, with a guest that has stopped.
        const DEAD: &str = "KVM internal error";
        let said = fs::read_to_string(&self.complaints).unwrap_or_default();
        ensure!(!said.contains(DEAD), "QEMU says: {DEAD}");
        self.job.still_runs().with_context(|| {
            said.lines()
                .last()
                .unwrap_or("the guest is gone")
                .to_owned()
        })
    }
}
