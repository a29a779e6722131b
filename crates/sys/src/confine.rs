//! How a process gives up its rights, for good.
//!
//! The order is the point; each step has its trap (measured, and tested one by one):
//!
//! 1. [`close_inherited`]: first of all, before the process opens anything of its own.
//! 2. Everything that needs a right is opened by the caller.
//! 3. [`confine`], where the kernel has what it takes, while there is one thread only: Linux keeps capabilities and Landlock
//!    rules for each thread, and a thread that was born before keeps what it had.
//!    - standard descriptors lead to /dev/null;
//!    - limits: no file grows, no core, no looking inside. SIGXFSZ is ignored first, or the
//!      first refused write would kill;
//!    - the securebits while CAP_SETPCAP is still there, then the bounding set, user and
//!      group, and the other sets;
//!    - no_new_privs, then Landlock with nothing allowed but to read this process's own
//!      thread list, which the self-test wants.
//! 4. The caller starts its threads; they inherit all of it.
//! 5. [`Confined::seal`]: seccomp on all threads at once, then the self-test reads what the
//!    kernel says of each thread. No thread is born after it.
//!
//! A step that does not take hold fully is an error; the caller ends the process. An error
//! names the step and nothing else.
//!
//! [`confine`] is the steps of [`Layer::ALL`], one after the other. They can be had one by
//! one ([`take`], [`filter`]), so that a test can leave one out and see what comes back.

mod capabilities;
mod descriptors;
mod landlock;
mod limits;
mod seccomp;
mod threads;

use std::fmt;
use std::fs::File;

pub use caps::Capability;
pub use descriptors::close_inherited;
pub use seccomp::{Allowed, OnViolation};

/// What is left to a process after [`confine`].
pub struct Policy<'a> {
    /// Capabilities that stay, effective and permitted. The daemon has none. With CAP_KILL
    /// Landlock leaves signals alone, so that it can be used.
    pub capabilities: &'a [Capability],
    /// User and group id to become, neither of them 0; None stays who it is.
    pub user: Option<(u32, u32)>,
    /// TCP ports that the process may connect to; it binds none any more. The rule needs
    /// Landlock ABI 4.
    pub connect_tcp: &'a [u16],
    /// The Landlock ABI that must be there: 3 stands for files, 4 for TCP ports, 6 for
    /// signals and abstract sockets as well. What the kernel has beyond it, up to 6, is used.
    pub landlock_abi: u8,
}

/// The step that did not take hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There was more than one thread.
    Threads,
    /// Descriptors were not closed or replaced.
    Descriptors,
    /// A resource limit, or the flags against being looked into.
    Limits,
    /// A capability set or the securebits.
    Capabilities,
    /// User, group or supplementary groups.
    User,
    /// The kernel's Landlock is missing or too old, or did not take hold.
    Landlock,
    /// The system call filter.
    Seccomp,
    /// A thread is not as confined as it should be.
    SelfTest,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "confinement: another thread was started before",
            Self::Descriptors => "confinement: descriptors cannot be closed",
            Self::Limits => "confinement: limits cannot be set",
            Self::Capabilities => "confinement: capabilities cannot be dropped (start as root)",
            Self::User => "confinement: user and group cannot be changed (start as root)",
            Self::Landlock => "confinement: the kernel has no Landlock, or too old a one",
            Self::Seccomp => "confinement: the kernel refuses the system call filter",
            Self::SelfTest => "confinement: the self-test failed",
        })
    }
}

impl std::error::Error for Failure {}

/// A step of [`confine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Input, output and errors lead nowhere.
    Descriptors,
    /// No file grows, nothing dumps core, nothing is locked or queued.
    Limits,
    /// Securebits, capability sets, user and groups.
    Capabilities,
    /// Nobody looks into the process, and no program that it starts has more rights.
    Isolation,
    /// Landlock.
    Landlock,
}

impl Layer {
    /// All of them, in the order in which they work.
    pub const ALL: [Self; 5] = [
        Self::Descriptors,
        Self::Limits,
        Self::Capabilities,
        Self::Isolation,
        Self::Landlock,
    ];

    fn apply(self, policy: &Policy<'_>, own_threads: &File) -> Result<(), Failure> {
        match self {
            Self::Descriptors => descriptors::lead_standard_to_null(),
            Self::Limits => limits::set(),
            Self::Capabilities => capabilities::drop_all_but(policy.capabilities, policy.user),
            Self::Isolation => limits::forbid_looking_inside(),
            Self::Landlock => landlock::restrict(policy, own_threads),
        }
    }
}

/// A process that has given up its rights, and may still start threads.
pub struct Confined {
    expected: threads::Expected,
    /// Held open: Landlock knows the directory by its inode, which the kernel may forget.
    own_threads: File,
}

/// A process that is as confined as it will be.
pub struct Sealed {
    _proof: (),
}

/// Refuses a kernel that cannot confine: one that lacks seccomp, or Landlock of at least
/// that ABI. To be asked while there is somebody to tell.
///
/// # Errors
/// What it lacks.
pub fn require(landlock_abi: u8) -> Result<(), Failure> {
    landlock::require(landlock_abi)?;
    seccomp::require()
}

/// Gives up everything that `policy` does not keep.
///
/// # Errors
/// The step that failed. What came before it stays in force, so the process must end.
pub fn confine(policy: &Policy<'_>) -> Result<Confined, Failure> {
    threads::require_one()?;
    require(policy.landlock_abi)?;
    let own_threads = threads::open_directory()?;
    for layer in Layer::ALL {
        layer.apply(policy, &own_threads)?;
    }
    Ok(Confined {
        own_threads,
        expected: threads::Expected::after(policy),
    })
}

/// Takes some of the steps of [`confine`], and looks at nothing.
///
/// # Errors
/// The step that failed.
pub fn take(layers: &[Layer], policy: &Policy<'_>) -> Result<(), Failure> {
    let own_threads = threads::open_directory()?;
    layers
        .iter()
        .try_for_each(|layer| layer.apply(policy, &own_threads))
}

/// Filters the system calls of all threads, and looks at nothing.
///
/// # Errors
/// The filter was refused.
pub fn filter(allowed: &[Allowed], violation: OnViolation) -> Result<(), Failure> {
    seccomp::apply(&seccomp::compile(allowed, violation)?)
}

impl Confined {
    /// Filters the system calls of all threads, then looks at each of them. The table must
    /// allow read and close, which the look needs. Every thread must have begun to run its
    /// own code, since what the system does before that is in no table.
    ///
    /// # Errors
    /// The filter was refused, or a thread is not what it should be.
    pub fn seal(self, allowed: &[Allowed], violation: OnViolation) -> Result<Sealed, Failure> {
        let filter = seccomp::compile(allowed, violation)?;
        // Opened before the filter forbids it; what it says is made when it is read.
        let status = threads::open_status()?;
        seccomp::apply(&filter)?;
        self.expected.check(status)?;
        drop(self.own_threads);
        Ok(Sealed { _proof: () })
    }
}
