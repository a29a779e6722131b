//! The system calls that are left to the daemon once it runs, each with its reason.
//!
//! Compared with strace on a node under load: what is here was called, or its reason says when
//! it is. Any other call kills the process. There is none here that opens a file, makes a thread,
//! a process or executable memory, or a socket that is not TCP.

use libc::c_long;
use mayfly_sys::confine::Allowed;

const READ_WRITE: u32 = (libc::PROT_READ | libc::PROT_WRITE) as u32;
const NO_ACCESS: u32 = libc::PROT_NONE as u32;
/// Memory that is nobody else's and no file's.
const OWN_MEMORY: u32 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u32;
const NOT_YET: u32 = libc::MAP_NORESERVE as u32;
/// How the runtime opens a socket.
const TCP: u32 = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u32;

/// What all threads may call, after the seal.
pub const ALLOWED: &[Allowed] = &[
    // Packet thread and handshake thread.
    any(libc::SYS_recvmmsg, "datagrams in"),
    // Flags, here and below: with MSG_FASTOPEN a call to send is one to connect, and Landlock
    // does not look at the port.
    only(
        libc::SYS_sendmmsg,
        &[(3, libc::MSG_DONTWAIT as u32)],
        "datagrams out",
    ),
    any(
        libc::SYS_read,
        "frames of the TUN, eventfds, the signal pipe",
    ),
    any(libc::SYS_write, "eventfds, the signal pipe, the janitor"),
    // The control thread.
    any(libc::SYS_accept4, "a client comes"),
    only(
        libc::SYS_socket,
        &[(0, libc::AF_INET as u32), (1, TCP)],
        "to the account service",
    ),
    only(
        libc::SYS_socket,
        &[(0, libc::AF_INET6 as u32), (1, TCP)],
        "to the account service",
    ),
    any(
        libc::SYS_connect,
        "to the account service; Landlock has its port only",
    ),
    only(
        libc::SYS_getsockopt,
        &[(1, libc::SOL_SOCKET as u32), (2, libc::SO_ERROR as u32)],
        "whether a connection stands",
    ),
    only(
        libc::SYS_setsockopt,
        &[(1, libc::IPPROTO_TCP as u32), (2, libc::TCP_NODELAY as u32)],
        "frames leave at once",
    ),
    any(
        libc::SYS_getsockname,
        "which of our addresses a client came to",
    ),
    any(libc::SYS_recvfrom, "TCP in"),
    only(
        libc::SYS_sendto,
        &[(3, libc::MSG_NOSIGNAL as u32)],
        "TCP out",
    ),
    only(
        libc::SYS_sendmsg,
        &[(2, libc::MSG_DONTWAIT as u32)],
        "TCP out, from several buffers; datagrams of a train that cannot be cut",
    ),
    any(
        libc::SYS_writev,
        "frames to the TUN; TCP out, from several buffers",
    ),
    any(libc::SYS_shutdown, "the end of a TLS connection"),
    any(libc::SYS_close, "a connection is over"),
    only(
        libc::SYS_fcntl,
        &[(1, libc::F_GETFD as u32)],
        "a build with debug assertions looks before it closes",
    ),
    any(libc::SYS_epoll_ctl, "connections come and go"),
    // Both.
    any(libc::SYS_epoll_wait, "waiting"),
    any(
        libc::SYS_futex,
        "the locks and the channel between the threads",
    ),
    any(
        libc::SYS_clock_gettime,
        "time, where the vDSO cannot tell it",
    ),
    any(libc::SYS_getrandom, "keys and nonces"),
    any(libc::SYS_brk, "memory"),
    only(
        libc::SYS_mmap,
        &[(2, READ_WRITE), (3, OWN_MEMORY)],
        "memory",
    ),
    only(
        libc::SYS_mmap,
        &[(2, NO_ACCESS), (3, OWN_MEMORY | NOT_YET)],
        "room for a heap",
    ),
    only(
        libc::SYS_mprotect,
        &[(2, READ_WRITE)],
        "a heap grows into its room",
    ),
    any(libc::SYS_munmap, "memory"),
    any(libc::SYS_mremap, "memory"),
    any(libc::SYS_madvise, "memory"),
    // Signals and the end.
    any(libc::SYS_rt_sigreturn, "back from the handler of SIGTERM"),
    any(libc::SYS_restart_syscall, "waiting goes on after a stop"),
    any(libc::SYS_rt_sigprocmask, "abort, and the end of a thread"),
    any(libc::SYS_rt_sigaction, "abort"),
    any(libc::SYS_gettid, "abort"),
    any(libc::SYS_getpid, "abort"),
    any(libc::SYS_tgkill, "abort"),
    any(libc::SYS_sigaltstack, "the end of a thread"),
    any(libc::SYS_exit, "the end of a thread"),
    any(libc::SYS_exit_group, "the end"),
];

const fn any(call: c_long, reason: &'static str) -> Allowed {
    only(call, &[], reason)
}

const fn only(call: c_long, only: &'static [(u8, u32)], reason: &'static str) -> Allowed {
    Allowed { call, only, reason }
}
