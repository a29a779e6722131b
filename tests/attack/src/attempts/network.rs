//! Sockets: to another machine, to another process, to the kernel.

use libc::{
    AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_VSOCK, NETLINK_AUDIT,
    NETLINK_NETFILTER, NETLINK_ROUTE, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM,
};
use std::net::SocketAddr;

use nix::errno::Errno;

use super::{Attempt, attempt, past};
use crate::call::{bytes, call, flags, number};
use crate::place::{LOG_TCP, LOG_UDP, SERVICE, internet, unix, with_end};

/// The only attempt that the daemon's work needs.
pub(super) const ALLOWED: &str = "tcp-to-the-account-service";

/// The type with which tokio opens a TCP socket. The attacker uses what the table allows.
const STREAM: i32 = SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

pub(super) const ATTEMPTS: &[Attempt] = &[
    attempt(ALLOWED, |_| connect(SERVICE)),
    attempt("tcp-to-a-log-server", |_| connect(LOG_TCP)),
    attempt("tcp-listen", |_| {
        let socket = socket(AF_INET, STREAM, 0)?;
        let mut any = internet(SocketAddr::from(([0; 4], 6514)));
        call(
            libc::SYS_bind,
            [number(socket), bytes(&mut any), number(16)],
        )?;
        call(libc::SYS_listen, [number(socket), number(1)]).map(drop)
    }),
    attempt("tcp-fast-open", |_| {
        // MSG_FASTOPEN connects without a call to connect.
        let socket = socket(AF_INET, STREAM, 0)?;
        send(socket, LOG_TCP, libc::MSG_FASTOPEN)
            .map_or_else(|errno| past(Err::<(), _>(errno), &[Errno::EINPROGRESS]), Ok)
    }),
    attempt("udp-to-a-log-server", |_| {
        let socket = socket(AF_INET, SOCK_DGRAM, 0)?;
        send(socket, LOG_UDP, 0)
    }),
    attempt("udp-by-open-socket", |place| {
        send(place.datagrams()?, LOG_UDP, libc::MSG_NOSIGNAL)
    }),
    attempt("udp6", |_| socket(AF_INET6, SOCK_DGRAM, 0).map(drop)),
    attempt("ping-socket", |_| {
        const ICMP: i32 = 1;
        let done = socket(AF_INET, SOCK_RAW, ICMP)?;
        send(done, LOG_UDP, 0)
    }),
    attempt("raw-socket", |_| {
        socket(AF_INET, SOCK_RAW, libc::IPPROTO_RAW).map(drop)
    }),
    attempt("packet-socket", |_| {
        socket(AF_PACKET, SOCK_RAW, 0).map(drop)
    }),
    attempt("unix-bind-path", |place| {
        let new = place.named("new");
        bind(&mut unix(with_end(&new)))
    }),
    attempt("unix-bind-abstract", |_| {
        bind(&mut unix(b"\0mayfly-attack"))
    }),
    attempt("unix-to-a-log-socket", |place| {
        let socket = socket(AF_UNIX, SOCK_DGRAM, 0)?;
        let log = place.log();
        let mut log = unix(with_end(&log));
        let length = number(log.len() as i64);
        call(libc::SYS_connect, [number(socket), bytes(&mut log), length]).map(drop)
    }),
    attempt("unix-pair", |_| {
        let (family, kind) = (flags(AF_UNIX), flags(SOCK_SEQPACKET));
        call(
            libc::SYS_socketpair,
            [family, kind, number(0), bytes(&mut [0; 8])],
        )
        .map(drop)
    }),
    attempt("netlink-audit", |_| {
        socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT).map(drop)
    }),
    attempt("netlink-route", |_| {
        socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE).map(drop)
    }),
    attempt("netlink-netfilter", |_| {
        socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER).map(drop)
    }),
    attempt("crypto-socket", |_| {
        socket(AF_ALG, SOCK_SEQPACKET, 0).map(drop)
    }),
    attempt("vsock", |_| socket(AF_VSOCK, SOCK_STREAM, 0).map(drop)),
];

fn socket(family: i32, kind: i32, protocol: i32) -> Result<i64, Errno> {
    call(
        libc::SYS_socket,
        [flags(family), flags(kind), flags(protocol)],
    )
}

fn connect(to: SocketAddr) -> Result<(), Errno> {
    let socket = socket(AF_INET, STREAM, 0)?;
    let mut to = internet(to);
    let done = call(
        libc::SYS_connect,
        [number(socket), bytes(&mut to), number(16)],
    );
    past(done, &[Errno::EINPROGRESS])
}

fn send(socket: i64, to: SocketAddr, how: i32) -> Result<(), Errno> {
    let (mut line, mut to) = (*b"<14>seen", internet(to));
    let to = bytes(&mut to);
    let arguments = [
        number(socket),
        bytes(&mut line),
        number(8),
        flags(how),
        to,
        number(16),
    ];
    call(libc::SYS_sendto, arguments).map(drop)
}

fn bind(address: &mut [u8]) -> Result<(), Errno> {
    let socket = socket(AF_UNIX, SOCK_DGRAM, 0)?;
    let length = number(address.len() as i64);
    call(libc::SYS_bind, [number(socket), bytes(address), length]).map(drop)
}
