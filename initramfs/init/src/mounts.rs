//! The mounts, as a table, and the step that makes the root read-only at the end.

use nix::mount::{MsFlags, mount};

use crate::Failure;

struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
}

/// The root itself is the kernel's rootfs, a tmpfs. There is no /sys, /tmp or /run.
const MOUNTS: [Mount; 1] = [
    // For the command line, for sysctls before the daemon confines itself, and for each
    // process's own state. Only root sees another process.
    Mount {
        source: "proc",
        target: "/proc",
        kind: "proc",
        flags: MsFlags::MS_NOSUID
            .union(MsFlags::MS_NODEV)
            .union(MsFlags::MS_NOEXEC),
        data: "hidepid=invisible",
    },
];

/// Mounts the table.
///
/// # Errors
/// [`Failure::Mounts`] if the kernel refuses one.
pub fn mount_all() -> Result<(), Failure> {
    for row in &MOUNTS {
        mount(
            Some(row.source),
            row.target,
            Some(row.kind),
            row.flags,
            Some(row.data),
        )
        .map_err(|_| Failure::Mounts)?;
    }
    Ok(())
}

/// Makes the root read-only: from here on no process, not even root's, creates or changes a file.
///
/// # Errors
/// [`Failure::Mounts`] if the kernel refuses.
pub fn seal_root() -> Result<(), Failure> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(|_| Failure::Mounts)
}
