//! The rights that each process of the node keeps.

use mayfly_sys::confine::{Allowed, Capability, Policy};

/// The janitor's user and group: unprivileged, and distinct from the daemon's, which could
/// otherwise signal it.
const JANITOR: (u32, u32) = (65_531, 65_531);

/// The daemon keeps no capability and no file, and may connect by TCP to one port.
///
/// `user` is its user and group, `connect_tcp` the port of the account service, and
/// `landlock_abi` the lowest Landlock ABI that the kernel may have.
pub fn daemon(user: (u32, u32), connect_tcp: &[u16], landlock_abi: u8) -> Policy<'_> {
    Policy {
        capabilities: &[],
        user: Some(user),
        connect_tcp,
        landlock_abi,
    }
}

/// The janitor keeps the right to change the network. Its table of calls has none that makes a
/// socket, so that it is left with the one that it holds.
pub fn janitor(landlock_abi: u8) -> Policy<'static> {
    Policy {
        capabilities: &[Capability::CAP_NET_ADMIN],
        user: Some(JANITOR),
        connect_tcp: &[],
        landlock_abi,
    }
}

/// The calls that the janitor may make. It has one thread.
pub const JANITOR_CALLS: &[Allowed] = &[
    Allowed::any(libc::SYS_read, "addresses to forget; the self-test"),
    Allowed::any(
        libc::SYS_write,
        "that it is confined; how many addresses are done",
    ),
    Allowed::any(libc::SYS_sendto, "netlink: list, delete"),
    Allowed::any(libc::SYS_recvfrom, "netlink's answers"),
    Allowed::any(libc::SYS_clock_nanosleep, "the rest after a pass"),
    Allowed::any(
        libc::SYS_clock_gettime,
        "time, where the vDSO cannot provide it",
    ),
    Allowed::any(libc::SYS_close, "the self-test's files"),
    Allowed::only(
        libc::SYS_fcntl,
        &[(1, libc::F_GETFD as u32)],
        "a build with debug assertions checks a descriptor before it closes it",
    ),
    Allowed::any(libc::SYS_brk, "memory"),
    Allowed::only(
        libc::SYS_mmap,
        &[
            (2, (libc::PROT_READ | libc::PROT_WRITE) as u32),
            (3, (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u32),
        ],
        "memory",
    ),
    Allowed::any(libc::SYS_munmap, "memory"),
    Allowed::any(libc::SYS_mremap, "memory"),
    Allowed::any(libc::SYS_restart_syscall, "a wait continues after a stop"),
    Allowed::any(libc::SYS_sigaltstack, "the end"),
    Allowed::any(libc::SYS_exit_group, "the end, after the daemon's"),
];
