//! What is mounted: a table, and the root made read-only at the end.

use nix::mount::{MsFlags, mount};

use crate::Failure;

struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MsFlags,
    data: &'static str,
}

/// The root itself is the kernel's rootfs, a tmpfs. There is no /sys, no /tmp, no /run.
const MOUNTS: [Mount; 1] = [
    // The command line, sysctls before the daemon confines itself, and each process its
    // own state: nobody but root sees another's.
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
/// [`Failure::Mounts`]
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

/// From here on nobody, root included, creates or changes a file.
///
/// # Errors
/// [`Failure::Mounts`]
pub fn seal_root() -> Result<(), Failure> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).map_err(|_| Failure::Mounts)
}
