//! The system calls that the daemon may make once it runs, each with its reason.
//!
//! The table was compared with strace on a node under load: each call in it was made, or its
//! reason says when it is made. Any other call kills the process. No call in the table can open a
//! file, make a thread, a process or executable memory, or make a socket that is not TCP.

use mayfly_sys::confine::Allowed;

const READ_WRITE: u32 = (libc::PROT_READ | libc::PROT_WRITE) as u32;
const NO_ACCESS: u32 = libc::PROT_NONE as u32;
/// Memory that no other process shares and that no file backs.
const OWN_MEMORY: u32 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u32;
const NOT_YET: u32 = libc::MAP_NORESERVE as u32;
/// The type with which the runtime opens a socket.
const TCP: u32 = (libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u32;

/// The calls that all threads may make after the seal.
pub const ALLOWED: &[Allowed] = &[
    // Packet thread and handshake thread.
    Allowed::any(libc::SYS_recvmmsg, "datagrams in"),
    // Flags are restricted here and below: with MSG_FASTOPEN a send also connects, and then
    // Landlock does not check the port.
    Allowed::only(
        libc::SYS_sendmmsg,
        &[(3, libc::MSG_DONTWAIT as u32)],
        "datagrams out",
    ),
    Allowed::any(
        libc::SYS_read,
        "frames of the TUN, eventfds, the signal pipe, the janitor",
    ),
    Allowed::any(libc::SYS_write, "eventfds, the signal pipe, the janitor"),
    // The control thread.
    Allowed::any(libc::SYS_accept4, "a client connects"),
    Allowed::only(
        libc::SYS_socket,
        &[(0, libc::AF_INET as u32), (1, TCP)],
        "to the account service",
    ),
    Allowed::only(
        libc::SYS_socket,
        &[(0, libc::AF_INET6 as u32), (1, TCP)],
        "to the account service",
    ),
    Allowed::any(
        libc::SYS_connect,
        "to the account service; Landlock allows its port only",
    ),
    Allowed::only(
        libc::SYS_getsockopt,
        &[(1, libc::SOL_SOCKET as u32), (2, libc::SO_ERROR as u32)],
        "whether a connection is established",
    ),
    Allowed::only(
        libc::SYS_setsockopt,
        &[(1, libc::IPPROTO_TCP as u32), (2, libc::TCP_NODELAY as u32)],
        "frames leave at once",
    ),
    Allowed::any(
        libc::SYS_getsockname,
        "which of our addresses a client connected to",
    ),
    Allowed::any(libc::SYS_recvfrom, "TCP in"),
    Allowed::only(
        libc::SYS_sendto,
        &[(3, libc::MSG_NOSIGNAL as u32)],
        "TCP out",
    ),
    Allowed::only(
        libc::SYS_sendmsg,
        &[(2, libc::MSG_DONTWAIT as u32)],
        "TCP out, from several buffers; datagrams of a train that cannot be split",
    ),
    Allowed::any(
        libc::SYS_writev,
        "frames to the TUN; TCP out, from several buffers",
    ),
    Allowed::any(libc::SYS_shutdown, "the end of a TLS connection"),
    Allowed::any(libc::SYS_close, "a connection is over"),
    Allowed::only(
        libc::SYS_fcntl,
        &[(1, libc::F_GETFD as u32)],
        "a build with debug assertions checks a descriptor before it closes it",
    ),
    Allowed::any(libc::SYS_epoll_ctl, "connections open and close"),
    // Both.
    Allowed::any(libc::SYS_epoll_wait, "waiting"),
    Allowed::any(libc::SYS_futex, "locks and channels between the threads"),
    Allowed::any(
        libc::SYS_clock_gettime,
        "time, where the vDSO cannot provide it",
    ),
    Allowed::any(libc::SYS_getrandom, "keys and nonces"),
    Allowed::any(libc::SYS_brk, "memory"),
    Allowed::only(
        libc::SYS_mmap,
        &[(2, READ_WRITE), (3, OWN_MEMORY)],
        "memory",
    ),
    Allowed::only(
        libc::SYS_mmap,
        &[(2, NO_ACCESS), (3, OWN_MEMORY | NOT_YET)],
        "reserved room for a heap",
    ),
    Allowed::only(
        libc::SYS_mprotect,
        &[(2, READ_WRITE)],
        "a heap grows into its room",
    ),
    Allowed::any(libc::SYS_munmap, "memory"),
    Allowed::any(libc::SYS_mremap, "memory"),
    Allowed::any(libc::SYS_madvise, "memory"),
    // Signals and the end.
    Allowed::any(libc::SYS_rt_sigreturn, "return from the handler of SIGTERM"),
    Allowed::any(libc::SYS_restart_syscall, "a wait continues after a stop"),
    Allowed::any(libc::SYS_rt_sigprocmask, "abort, and the end of a thread"),
    Allowed::any(libc::SYS_rt_sigaction, "abort"),
    Allowed::any(libc::SYS_gettid, "abort"),
    Allowed::any(libc::SYS_getpid, "abort"),
    Allowed::any(libc::SYS_tgkill, "abort"),
    Allowed::any(libc::SYS_sigaltstack, "the end of a thread"),
    Allowed::any(libc::SYS_exit, "the end of a thread"),
    Allowed::any(libc::SYS_exit_group, "the end"),
];
