//! What PID 1 keeps while the daemon runs: waiting, its DHCP socket, ending things.

use libc::{c_long, c_uint};
use mayfly_sys::confine::{Allowed, Capability, OnViolation, Policy, confine};

use crate::Failure;

/// Nobody: neither root nor the daemon's user.
const USER: (u32, u32) = (65_533, 65_533);

/// Files, TCP, abstract sockets. What it says about signals is left out for who has CAP_KILL:
/// the daemon is confined apart, and could not be ended.
const LANDLOCK_ABI: u8 = 6;

/// What it gives up, in the end: all but this.
pub const POLICY: Policy<'static> = Policy {
    // To end the daemon before the machine restarts, and to restart it.
    capabilities: &[Capability::CAP_KILL, Capability::CAP_SYS_BOOT],
    user: Some(USER),
    connect_tcp: &[],
    landlock_abi: LANDLOCK_ABI,
};

/// Everything that is called from here on. A call that is not here ends PID 1, which the
/// kernel takes for a panic and restarts: no worse than any other end.
pub const CALLS: [Allowed; 18] = [
    row(
        libc::SYS_poll,
        "waiting for a child's end, the server, or time",
    ),
    row(libc::SYS_read, "the signal descriptor"),
    row(libc::SYS_wait4, "reaping"),
    row(libc::SYS_recvfrom, "DHCP"),
    row(libc::SYS_sendto, "DHCP"),
    row(libc::SYS_getrandom, "DHCP's transaction ids"),
    row(libc::SYS_clock_gettime, "time, where the vDSO has none"),
    row(libc::SYS_clock_nanosleep, "the pause before a restart"),
    row(
        libc::SYS_restart_syscall,
        "a wait that a signal interrupted",
    ),
    row(libc::SYS_brk, "memory"),
    Allowed {
        call: libc::SYS_mmap,
        only: &[
            (2, (libc::PROT_READ | libc::PROT_WRITE) as c_uint),
            (3, (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as c_uint),
        ],
        reason: "memory",
    },
    row(libc::SYS_mremap, "memory"),
    row(libc::SYS_munmap, "memory"),
    row(libc::SYS_kill, "the daemon's end"),
    Allowed {
        call: libc::SYS_reboot,
        only: &[(2, libc::LINUX_REBOOT_CMD_RESTART as c_uint)],
        reason: "the machine's end",
    },
    row(libc::SYS_close, "the self-test's files"),
    Allowed {
        call: libc::SYS_fcntl,
        only: &[(1, libc::F_GETFD as c_uint)],
        reason: "a build with debug assertions looks before it closes",
    },
    row(libc::SYS_exit_group, "if the machine does not restart"),
];

const fn row(call: c_long, reason: &'static str) -> Allowed {
    Allowed {
        call,
        only: &[],
        reason,
    }
}

/// Gives up all else, for good.
///
/// # Errors
/// [`Failure::Confine`]
pub fn give_up_rights() -> Result<(), Failure> {
    confine(&POLICY)
        .and_then(|confined| confined.seal(&CALLS, OnViolation::Kill))
        .map(drop)
        .map_err(|_| Failure::Confine)
}
