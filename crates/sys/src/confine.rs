//! How a process gives up its rights, for good.
//!
//! The order matters, because each step has its trap (measured, and tested one by one):
//!
//! 1. [`close_inherited`]: first of all, before the process opens anything of its own.
//! 2. Everything that needs a right is opened by the caller.
//! 3. [`confine`], if the kernel has what it needs, and while there is only one thread: Linux keeps
//!    capabilities and Landlock rules for each thread, and an older thread keeps what it had.
//!    - standard descriptors lead to /dev/null;
//!    - limits: no file grows, no core is dumped, no other process looks inside. SIGXFSZ is ignored
//!      first, because otherwise the first refused write would kill the process;
//!    - the securebits while CAP_SETPCAP is still there, then the bounding set, user and group, and
//!      the other sets;
//!    - no_new_privs, then Landlock, which allows nothing but to read this process's own list of
//!      threads for the self-test.
//! 4. The caller starts its threads. They inherit all of it.
//! 5. [`Confined::seal`]: seccomp on all threads at once. Then the self-test reads the kernel's
//!    status of each thread. No thread is started after this.
//!
//! A step that does not take full effect is an error, and the caller must end the process. An error
//! names the step and nothing else.
//!
//! [`confine`] takes the steps of [`Layer::ALL`], one after the other. They can also be taken one
//! by one ([`take`], [`filter`]), so that a test can leave one out and see which attack succeeds.

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

/// The rights that a process keeps after [`confine`].
pub struct Policy<'a> {
    /// The capabilities that stay, effective and permitted. The daemon keeps none. With CAP_KILL,
    /// Landlock does not restrict signals, so that the capability can be used.
    pub capabilities: &'a [Capability],
    /// The user and group id to change to, neither of them 0. `None` changes nothing.
    pub user: Option<(u32, u32)>,
    /// The TCP ports that the process may connect to. It can bind none. This needs Landlock ABI 4.
    pub connect_tcp: &'a [u16],
    /// The lowest Landlock ABI that the kernel may have: 3 restricts files, 4 also TCP ports, 6
    /// also signals and abstract sockets. If the kernel has more, up to 6, it is used.
    pub landlock_abi: u8,
}

/// The step that did not take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// There was more than one thread.
    Threads,
    /// Descriptors could not be closed or replaced.
    Descriptors,
    /// A resource limit, or one of the flags that keep others from looking inside.
    Limits,
    /// A capability set or the securebits.
    Capabilities,
    /// User, group or supplementary groups.
    User,
    /// The kernel's Landlock is missing, too old, or did not take effect.
    Landlock,
    /// The system call filter.
    Seccomp,
    /// A thread is not as confined as it should be.
    SelfTest,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Threads => "confinement: another thread is already running",
            Self::Descriptors => "confinement: descriptors cannot be closed",
            Self::Limits => "confinement: limits cannot be set",
            Self::Capabilities => "confinement: capabilities cannot be dropped (start as root)",
            Self::User => "confinement: user and group cannot be changed (start as root)",
            Self::Landlock => "confinement: the kernel has no Landlock, or its Landlock is too old",
            Self::Seccomp => "confinement: the kernel refuses the system call filter",
            Self::SelfTest => "confinement: the self-test failed",
        })
    }
}

impl std::error::Error for Failure {}

/// A step of [`confine`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Standard input, output and error lead to /dev/null.
    Descriptors,
    /// No file grows, nothing dumps core, nothing is locked or queued.
    Limits,
    /// Securebits, capability sets, user and groups.
    Capabilities,
    /// No other process can look inside, and no program that it starts has more rights.
    Isolation,
    /// Landlock.
    Landlock,
}

impl Layer {
    /// All layers, in the order in which they work.
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

/// A process that has given up its rights and may still start threads.
pub struct Confined {
    expected: threads::Expected,
    /// Held open, because Landlock knows the directory by its inode, which the kernel could forget.
    own_threads: File,
}

/// A process that is fully confined.
pub struct Sealed {
    _proof: (),
}

/// Refuses a kernel that cannot confine a process: one that lacks seccomp, or Landlock of at least
/// this ABI. To be called while an error can still be printed.
///
/// # Errors
/// `Landlock` or `Seccomp`: what the kernel lacks.
pub fn require(landlock_abi: u8) -> Result<(), Failure> {
    landlock::require(landlock_abi)?;
    seccomp::require()
}

/// Gives up everything that `policy` does not keep.
///
/// # Errors
/// The step that failed. The steps before it stay in force, so the process must end.
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

/// Takes some of the steps of [`confine`], without a self-test.
///
/// # Errors
/// The step that failed.
pub fn take(layers: &[Layer], policy: &Policy<'_>) -> Result<(), Failure> {
    let own_threads = threads::open_directory()?;
    layers
        .iter()
        .try_for_each(|layer| layer.apply(policy, &own_threads))
}

/// Filters the system calls of all threads, without a self-test.
///
/// # Errors
/// `Seccomp` if the kernel refuses the filter.
pub fn filter(allowed: &[Allowed], violation: OnViolation) -> Result<(), Failure> {
    seccomp::apply(&seccomp::compile(allowed, violation)?)
}

impl Confined {
    /// Filters the system calls of all threads, then checks each thread. The table must allow read
    /// and close, which the check needs. Every thread must have begun to run its own code, because
    /// the calls that the C library makes before that are in no table.
    ///
    /// # Errors
    /// `Seccomp` if the kernel refuses the filter, `SelfTest` if a thread is not confined as it
    /// should be.
    pub fn seal(self, allowed: &[Allowed], violation: OnViolation) -> Result<Sealed, Failure> {
        let filter = seccomp::compile(allowed, violation)?;
        // Opened before the filter forbids it. The kernel makes the contents when they are read.
        let status = threads::open_status()?;
        seccomp::apply(&filter)?;
        self.expected.check(status)?;
        drop(self.own_threads);
        Ok(Sealed { _proof: () })
    }
}
