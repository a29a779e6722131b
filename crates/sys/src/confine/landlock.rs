//! Landlock (landlock(7)): no file of any kind, and no TCP ports except those named.

use std::fs::File;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Capability, Failure, Policy};

/// The newest ABI whose rules are used here: files, TCP ports, signals, abstract sockets. Later
/// ABIs either add no restriction (7, 8) or would restrict what the daemon needs (10: UDP).
const KNOWN_ABI: u8 = 6;

/// Refuses a kernel that has no Landlock, or an older one than `abi`.
pub(super) fn require(abi: u8) -> Result<(), Failure> {
    /// LANDLOCK_CREATE_RULESET_VERSION (linux/landlock.h)
    const ASK_VERSION: libc::c_long = 1;
    const NOTHING: libc::c_long = 0;
    // SAFETY: when asked for its version, the kernel reads no memory.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            NOTHING,
            NOTHING,
            ASK_VERSION,
        )
    };
    if version < libc::c_long::from(abi) {
        return Err(Failure::Landlock);
    }
    Ok(())
}

/// Restricts this thread and those that it will start. They can read only below `readable`.
pub(super) fn restrict(policy: &Policy<'_>, readable: &File) -> Result<(), Failure> {
    let status = enforce(policy, readable).map_err(|_| Failure::Landlock)?;
    // An ABI without rules of its own leaves no trace in the ruleset.
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Err(Failure::Landlock);
    };
    if (effective_abi as u32) < u32::from(policy.landlock_abi) {
        return Err(Failure::Landlock);
    }
    check_in_force()
}

fn enforce(policy: &Policy<'_>, readable: &File) -> Result<RestrictionStatus, RulesetError> {
    let lowest = policy.landlock_abi.min(KNOWN_ABI);
    // The crate's default is best effort alone, which would not notice a kernel without Landlock.
    let required = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let required = handle(required, lowest, policy)?;
    let optional = required.set_compatibility(CompatLevel::BestEffort);
    let mut ruleset = handle(optional, KNOWN_ABI, policy)?.create()?;

    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    ruleset = ruleset.add_rule(PathBeneath::new(readable, reading))?;
    for &port in policy.connect_tcp {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    ruleset.restrict_self()
}

/// Denies everything that ABI `abi` can restrict.
fn handle(mut ruleset: Ruleset, abi: u8, policy: &Policy<'_>) -> Result<Ruleset, RulesetError> {
    let abi = ABI::from(i32::from(abi));
    ruleset = ruleset.handle_access(AccessFs::from_all(abi))?;
    let ports = AccessNet::from_all(abi);
    if !ports.is_empty() {
        ruleset = ruleset.handle_access(ports)?;
    }
    let mut scopes = Scope::from_all(abi);
    // A process that keeps the right to end any process must be able to use it: PID 1 does so
    // before a restart.
    if policy.capabilities.contains(&Capability::CAP_KILL) {
        scopes.remove(Scope::Signal);
    }
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes)?;
    }
    Ok(ruleset)
}

/// The rules are in force if the kernel refuses what any process can do without them.
fn check_in_force() -> Result<(), Failure> {
    let reading = File::open("/").map(drop);
    let writing = File::options().write(true).open("/dev/null").map(drop);
    let refused = |attempt: io::Result<()>| {
        attempt.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    if refused(reading) && refused(writing) {
        return Ok(());
    }
    Err(Failure::Landlock)
}
