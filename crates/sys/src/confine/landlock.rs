//! Landlock (landlock(7)): no file of any kind, no TCP port but those named.

use std::fs::File;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Capability, Failure, Policy};

/// The newest ABI whose rules are meant here: files, TCP ports, signals, abstract sockets.
/// What came later is either no restriction (7, 8) or would cut what we live by (10: UDP).
const KNOWN_ABI: u8 = 6;

/// Refuses a kernel that has no Landlock, or an older one than `abi`.
pub fn require(abi: u8) -> Result<(), Failure> {
    /// LANDLOCK_CREATE_RULESET_VERSION (linux/landlock.h)
    const ASK_VERSION: libc::c_long = 1;
    const NOTHING: libc::c_long = 0;
    // SAFETY: asked for its version, the kernel reads no memory.
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

/// Restricts this thread and those that it will start. Only below `readable` something may be
/// read.
pub fn restrict(policy: &Policy<'_>, readable: &File) -> Result<(), Failure> {
    let status = enforce(policy, readable).map_err(|_| Failure::Landlock)?;
    // A version without rules of its own leaves no trace in the ruleset.
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Err(Failure::Landlock);
    };
    if (effective_abi as u32) < u32::from(policy.landlock_abi) {
        return Err(Failure::Landlock);
    }
    ask_for_the_verdict()
}

fn enforce(policy: &Policy<'_>, readable: &File) -> Result<RestrictionStatus, RulesetError> {
    let least = policy.landlock_abi.min(KNOWN_ABI);
    // Best effort alone is the crate's default: a kernel without Landlock would go unnoticed.
    let required = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let required = handle(required, least, policy)?;
    let welcome = required.set_compatibility(CompatLevel::BestEffort);
    let mut ruleset = handle(welcome, KNOWN_ABI, policy)?.create()?;

    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    ruleset = ruleset.add_rule(PathBeneath::new(readable, reading))?;
    for &port in policy.connect_tcp {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    ruleset.restrict_self()
}

/// Denies all that version `abi` knows.
fn handle(mut ruleset: Ruleset, abi: u8, policy: &Policy<'_>) -> Result<Ruleset, RulesetError> {
    let abi = ABI::from(i32::from(abi));
    ruleset = ruleset.handle_access(AccessFs::from_all(abi))?;
    let ports = AccessNet::from_all(abi);
    if !ports.is_empty() {
        ruleset = ruleset.handle_access(ports)?;
    }
    let mut scopes = Scope::from_all(abi);
    // Who keeps the right to end any process shall have the use of it: PID 1 before a restart.
    if policy.capabilities.contains(&Capability::CAP_KILL) {
        scopes.remove(Scope::Signal);
    }
    if !scopes.is_empty() {
        ruleset = ruleset.scope(scopes)?;
    }
    Ok(ruleset)
}

/// The rules are in force if the kernel refuses what anybody could do a moment ago.
fn ask_for_the_verdict() -> Result<(), Failure> {
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
