//! Capabilities, securebits, user and group (capabilities(7)).

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

use super::Failure;

/// linux/securebits.h: root has no privileges, a change of user clears no capabilities by itself,
/// and capabilities are neither kept nor raised for another program. All of this is locked.
const SECUREBITS: libc::c_ulong = {
    let noroot = 0b11;
    let no_setuid_fixup = 0b11 << 2;
    let keep_caps_locked = 0b10 << 4;
    let no_ambient_raise = 0b11 << 6;
    noroot | no_setuid_fixup | keep_caps_locked | no_ambient_raise
};

/// Keeps `kept` and becomes `user`. The sets come last, because a change of user needs two
/// capabilities.
pub(super) fn drop_all_but(kept: &[Capability], user: Option<(u32, u32)>) -> Result<(), Failure> {
    lock_securebits()?;
    drop_bounding_set()?;
    // In an initramfs no login session has cleared them.
    setgroups(&[]).map_err(|_| Failure::User)?;
    if let Some((uid, gid)) = user {
        become_user(uid, gid)?;
    }
    reduce_sets(kept).map_err(|_| Failure::Capabilities)
}

fn lock_securebits() -> Result<(), Failure> {
    // SAFETY: this prctl takes a number and touches no memory.
    let done = unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECUREBITS, 0, 0, 0) };
    Errno::result(done)
        .map(drop)
        .map_err(|_| Failure::Capabilities)
}

/// Goes by number, up to the kernel's last capability, which may be newer than any list of names.
fn drop_bounding_set() -> Result<(), Failure> {
    for number in 0..u64::BITS {
        let number = libc::c_ulong::from(number);
        // SAFETY: these prctls take numbers and touch no memory.
        let done = unsafe {
            match libc::prctl(libc::PR_CAPBSET_READ, number, 0, 0, 0) {
                1 => libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0),
                _ => 0,
            }
        };
        Errno::result(done).map_err(|_| Failure::Capabilities)?;
    }
    Ok(())
}

fn become_user(uid: u32, gid: u32) -> Result<(), Failure> {
    if uid == 0 || gid == 0 {
        return Err(Failure::User);
    }
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let change = || -> nix::Result<bool> {
        setresgid(gid, gid, gid)?;
        setresuid(uid, uid, uid)?;
        let (users, groups) = (getresuid()?, getresgid()?);
        let users = [users.real, users.effective, users.saved];
        let groups = [groups.real, groups.effective, groups.saved];
        Ok(users == [uid; 3] && groups == [gid; 3])
    };
    match change() {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Failure::User),
    }
}

fn reduce_sets(kept: &[Capability]) -> Result<(), caps::errors::CapsError> {
    let kept: CapsHashSet = kept.iter().copied().collect();
    caps::clear(None, CapSet::Ambient)?;
    caps::clear(None, CapSet::Inheritable)?;
    caps::set(None, CapSet::Effective, &kept)?;
    caps::set(None, CapSet::Permitted, &kept)
}
