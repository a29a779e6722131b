//! The rights that PID 1 keeps while the daemon runs: to wait, to use its DHCP socket, and to end
//! the daemon and the machine.

use libc::c_uint;
use mayfly_sys::confine::{Allowed, Capability, OnViolation, Policy, confine};

use crate::Failure;

/// An unprivileged user: neither root nor the daemon's user.
const USER: (u32, u32) = (65_533, 65_533);

/// Files, TCP, abstract sockets. The ABI's rule about signals is left out for a process with
/// CAP_KILL: the daemon has a confinement of its own, and PID 1 could not end it.
const LANDLOCK_ABI: u8 = 6;

/// What PID 1 keeps. It gives up everything else.
pub const POLICY: Policy<'static> = Policy {
    // To end the daemon before the machine restarts, and to restart it.
    capabilities: &[Capability::CAP_KILL, Capability::CAP_SYS_BOOT],
    user: Some(USER),
    connect_tcp: &[],
    landlock_abi: LANDLOCK_ABI,
};

/// Every call that is made from here on. A call that is not in the table ends PID 1. To the kernel
/// that is a panic, and it restarts: no worse than any other end.
pub const CALLS: [Allowed; 18] = [
    Allowed::any(
        libc::SYS_poll,
        "waiting for the end of a child, the DHCP server, or a time",
    ),
    Allowed::any(libc::SYS_read, "the signal descriptor"),
    Allowed::any(libc::SYS_wait4, "reaping"),
    Allowed::any(libc::SYS_recvfrom, "DHCP"),
    Allowed::any(libc::SYS_sendto, "DHCP"),
    Allowed::any(libc::SYS_getrandom, "DHCP's transaction ids"),
    Allowed::any(libc::SYS_clock_gettime, "time, where the vDSO has none"),
    Allowed::any(libc::SYS_clock_nanosleep, "the pause before a restart"),
    Allowed::any(
        libc::SYS_restart_syscall,
        "a wait that a signal interrupted",
    ),
    Allowed::any(libc::SYS_brk, "memory"),
    Allowed::only(
        libc::SYS_mmap,
        &[
            (2, (libc::PROT_READ | libc::PROT_WRITE) as c_uint),
            (3, (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as c_uint),
        ],
        "memory",
    ),
    Allowed::any(libc::SYS_mremap, "memory"),
    Allowed::any(libc::SYS_munmap, "memory"),
    Allowed::any(libc::SYS_kill, "the daemon's end"),
    Allowed::only(
        libc::SYS_reboot,
        &[(2, libc::LINUX_REBOOT_CMD_RESTART as c_uint)],
        "the machine's end",
    ),
    Allowed::any(libc::SYS_close, "the self-test's files"),
    Allowed::only(
        libc::SYS_fcntl,
        &[(1, libc::F_GETFD as c_uint)],
        "a build with debug assertions checks a descriptor before it closes it",
    ),
    Allowed::any(libc::SYS_exit_group, "if the machine does not restart"),
];

/// Gives up everything else, for good.
///
/// # Errors
/// [`Failure::Confine`] if a step does not take hold. PID 1 must end then.
pub fn give_up_rights() -> Result<(), Failure> {
    confine(&POLICY)
        .and_then(|confined| confined.seal(&CALLS, OnViolation::Kill))
        .map(drop)
        .map_err(|_| Failure::Confine)
}
