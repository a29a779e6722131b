//! The node's confinements, whole or with a layer left out.

use mayfly_init::confine as first_process;
use mayfly_node::{lockdown, syscalls};
use mayfly_sys::confine::{self, Allowed, Failure, Layer, OnViolation, Policy};

use crate::place::SERVICE;

/// A process, by its confinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jail {
    /// The daemon, which has the network.
    Daemon,
    /// The janitor, which deletes the connections of peers that are gone.
    Janitor,
    /// PID 1 of the image.
    FirstProcess,
}

/// A layer that can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wall {
    /// A step of the confinement.
    Layer(Layer),
    /// The filter of system calls.
    Seccomp,
    /// The firewall, which does not belong to a process.
    Firewall,
    /// The root, which is read-only in the image.
    Root,
}

impl Jail {
    pub(crate) const ALL: [Self; 3] = [Self::Daemon, Self::Janitor, Self::FirstProcess];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Daemon => "daemon",
            Self::Janitor => "janitor",
            Self::FirstProcess => "pid1",
        }
    }

    /// User and group of the confined process.
    pub(crate) fn user(self) -> (u32, u32) {
        self.policy().user.unwrap_or_default()
    }

    /// Locks this process up behind every wall except those `left_out`. The filter refuses instead
    /// of killing.
    ///
    /// # Errors
    /// The step of the confinement that failed.
    pub(crate) fn lock(self, left_out: &[Wall]) -> Result<(), Failure> {
        let policy = self.policy();
        let stands = |wall| !left_out.contains(&wall);
        if left_out
            .iter()
            .all(|wall| matches!(wall, Wall::Firewall | Wall::Root))
        {
            let confined = confine::confine(&policy)?;
            return confined.seal(self.calls(), OnViolation::Refuse).map(drop);
        }
        let layers = Layer::ALL
            .into_iter()
            .filter(|layer| stands(Wall::Layer(*layer)));
        confine::take(&layers.collect::<Vec<_>>(), &policy)?;
        if stands(Wall::Seccomp) {
            confine::filter(self.calls(), OnViolation::Refuse)?;
        }
        Ok(())
    }

    /// Locks this process up like the shipped one: a call that is not in the table kills it.
    ///
    /// # Errors
    /// The step of the confinement that failed.
    pub(crate) fn lock_as_shipped(self) -> Result<(), Failure> {
        let confined = confine::confine(&self.policy())?;
        confined.seal(self.calls(), OnViolation::Kill).map(drop)
    }

    fn policy(self) -> Policy<'static> {
        const SERVICE_PORT: &[u16] = &[SERVICE.port()];
        const DAEMON: (u32, u32) = (65_532, 65_532);
        // If the kernel has a higher ABI, up to 6, it is used, here as in the daemon.
        const LOWEST_ABI: u8 = 3;
        match self {
            Self::Daemon => lockdown::daemon(DAEMON, SERVICE_PORT, LOWEST_ABI),
            Self::Janitor => lockdown::janitor(LOWEST_ABI),
            Self::FirstProcess => first_process::POLICY,
        }
    }

    /// The table of calls.
    pub(crate) fn calls(self) -> &'static [Allowed] {
        match self {
            Self::Daemon => syscalls::ALLOWED,
            Self::Janitor => lockdown::JANITOR_CALLS,
            Self::FirstProcess => &first_process::CALLS,
        }
    }
}

impl Wall {
    pub(crate) const ALL: [Self; 8] = [
        Self::Layer(Layer::Descriptors),
        Self::Layer(Layer::Limits),
        Self::Layer(Layer::Capabilities),
        Self::Layer(Layer::Isolation),
        Self::Layer(Layer::Landlock),
        Self::Seccomp,
        Self::Firewall,
        Self::Root,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Layer(Layer::Descriptors) => "descriptors",
            Self::Layer(Layer::Limits) => "limits",
            Self::Layer(Layer::Capabilities) => "capabilities",
            Self::Layer(Layer::Isolation) => "isolation",
            Self::Layer(Layer::Landlock) => "landlock",
            Self::Seccomp => "seccomp",
            Self::Firewall => "firewall",
            Self::Root => "root",
        }
    }
}
