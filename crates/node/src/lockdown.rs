//! What is left to each process of the node.

use libc::c_long;
use mayfly_sys::confine::{Allowed, Capability, Policy};

/// The janitor's user and group: nobody's, and not the daemon's, which could else signal it.
const JANITOR: (u32, u32) = (65_531, 65_531);

/// The daemon: no capability, no file, and TCP to one port.
///
/// `user` is its user and group, `connect_tcp` the port of the account service, and
/// `landlock_abi` the least that the kernel must have.
pub fn daemon(user: (u32, u32), connect_tcp: &[u16], landlock_abi: u8) -> Policy<'_> {
    Policy {
        capabilities: &[],
        user: Some(user),
        connect_tcp,
        landlock_abi,
    }
}

/// The janitor: the right to change the network, with a table of calls in which there is no
/// socket but the one that it holds.
pub fn janitor(landlock_abi: u8) -> Policy<'static> {
    Policy {
        capabilities: &[Capability::CAP_NET_ADMIN],
        user: Some(JANITOR),
        connect_tcp: &[],
        landlock_abi,
    }
}

/// What the janitor may call. It has one thread.
pub const JANITOR_CALLS: &[Allowed] = &[
    row(libc::SYS_read, "addresses that are gone; the self-test"),
    row(libc::SYS_write, "one byte: it is confined"),
    row(libc::SYS_sendto, "netlink: list, delete"),
    row(libc::SYS_recvfrom, "netlink's answers"),
    row(libc::SYS_close, "the self-test's files"),
    Allowed {
        call: libc::SYS_fcntl,
        only: &[(1, libc::F_GETFD as u32)],
        reason: "a build with debug assertions looks before it closes",
    },
    row(libc::SYS_brk, "memory"),
    Allowed {
        call: libc::SYS_mmap,
        only: &[
            (2, (libc::PROT_READ | libc::PROT_WRITE) as u32),
            (3, (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u32),
        ],
        reason: "memory",
    },
    row(libc::SYS_munmap, "memory"),
    row(libc::SYS_mremap, "memory"),
    row(libc::SYS_restart_syscall, "waiting goes on after a stop"),
    row(libc::SYS_sigaltstack, "the end"),
    row(libc::SYS_exit_group, "the end, with the daemon's"),
];

const fn row(call: c_long, reason: &'static str) -> Allowed {
    Allowed {
        call,
        only: &[],
        reason,
    }
}
