//! A UDP socket that takes and gives many datagrams in one system call.
//!
//! Datagrams of one length between the same two ends cross as a train: the kernel puts
//! together what it received (UDP_GRO) and cuts what it sends (UDP_SEGMENT), or has the
//! network card do it. Where it cannot, they cross one by one.
//!
//! Unconnected, so that nothing in the kernel shows who speaks with us. Each datagram
//! comes with the address that it was sent to, and an answer leaves from there: a machine
//! with several addresses answers as it was spoken to.
//!
//! recvmmsg and sendmmsg are called through libc: the wrapper in nix does not restore the
//! length of the control data between calls, which would lose it after the first batch.

mod address;
mod batch;
mod control;
mod steering;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

use control::Control;

pub use batch::{Outgoing, Received, RecvBatch, SendBatch};
pub use steering::Steering;

/// Longest payload that a UDP header can announce, in bytes.
pub const MAX_DATAGRAM: usize = 65_535;

/// Wanted size of the kernel's buffers, in bytes; the kernel may give less.
const SOCKET_BUFFER: usize = 4 << 20;

/// One unconnected UDP socket for IPv4 and IPv6, or for IPv4 where the kernel has no IPv6.
pub struct Udp {
    socket: OwnedFd,
    dual: bool,
}

impl Udp {
    /// Binds `port` on every address; 0 lets the kernel choose.
    ///
    /// # Errors
    /// The port is taken or needs a right.
    pub fn bind(port: u16) -> io::Result<Self> {
        Self::open(port, false)
    }

    /// Binds several sockets to one port, a thread's each. Datagrams that `steering` does not send
    /// to one of them come to one that a hash of their addresses chooses, always the same.
    ///
    /// # Errors
    /// As for [`bind`](Self::bind).
    pub fn bind_group(port: u16, count: usize, steering: Steering) -> io::Result<Vec<Self>> {
        if count < 2 {
            return Ok(vec![Self::bind(port)?]);
        }
        let first = Self::open(port, true)?;
        let port = first.port()?;
        let mut group = vec![first];
        for _ in 1..count {
            group.push(Self::open(port, true)?);
        }
        // Without it, more comes to where it does not belong, and is handed over.
        let _by_hash_only = steering.attach(&group[0].socket, count);
        Ok(group)
    }

    fn open(port: u16, shared: bool) -> io::Result<Self> {
        let (socket, dual) = match open(AddressFamily::Inet6) {
            Ok(socket) => (socket, true),
            Err(Errno::EAFNOSUPPORT) => (open(AddressFamily::Inet)?, false),
            Err(error) => return Err(error.into()),
        };
        let any = if dual {
            socket::setsockopt(&socket, sockopt::Ipv6V6Only, &false)?;
            socket::setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
        } else {
            socket::setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
        };
        forget_path_mtu(&socket)?;
        hear_service_class(&socket, dual)?;
        enlarge_buffers(&socket);
        socket::setsockopt(&socket, sockopt::ReusePort, &shared)?;
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(any))?;
        // Without it, datagrams come one by one.
        let _alone = socket::setsockopt(&socket, sockopt::UdpGroSegment, &true);
        Ok(Self { socket, dual })
    }

    /// The port that the socket is bound to.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn port(&self) -> io::Result<u16> {
        let name: SockaddrStorage = socket::getsockname(self.socket.as_raw_fd())?;
        let v6 = name.as_sockaddr_in6().map(|name| name.port());
        v6.or_else(|| name.as_sockaddr_in().map(|name| name.port()))
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Receives what is there into `batch`, at most what fits, without waiting. Returns how
    /// many trains came.
    ///
    /// # Errors
    /// The socket is broken. Nothing to receive, and what a network may cause, is no error.
    pub fn recv_batch(&self, batch: &mut RecvBatch) -> io::Result<usize> {
        let headers = batch.prepare();
        // SAFETY: `prepare` has pointed every header at buffers that `batch` owns, and the
        // exclusive borrow keeps them in place during the call.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = match Errno::result(count) {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(error) if passes(error) => 0,
            Err(error) => return Err(error.into()),
        };
        batch.received(count);
        Ok(count)
    }

    /// Sends trains. A datagram that cannot be sent is lost, as on a wire, and only that one.
    pub fn send_batch<'a>(
        &self,
        batch: &mut SendBatch,
        mut trains: impl Iterator<Item = Outgoing<'a>>,
    ) {
        loop {
            let mut headers = batch.fill(&mut trains, self.dual);
            while !headers.is_empty() {
                let sent = self.send(headers);
                let (done, rest) = headers.split_at_mut(sent.unwrap_or(1));
                if let (Err(error), [first]) = (sent, done)
                    && matches!(error, Errno::EIO | Errno::EINVAL | Errno::EMSGSIZE)
                {
                    self.send_singly(&mut first.msg_hdr);
                }
                // Else the first one is lost: go on behind it.
                headers = rest;
            }
            if !batch.is_full() {
                return;
            }
        }
    }

    fn send(&self, headers: &mut [libc::mmsghdr]) -> nix::Result<usize> {
        // SAFETY: `SendBatch::fill` has pointed every header at an address and control data of
        // the batch and at a payload that the caller's iterator lends for longer than the call.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
            )
        };
        Errno::result(sent).map(|sent| usize::try_from(sent).unwrap_or(0).clamp(1, headers.len()))
    }

    /// Sends a train that the way out cannot cut (a card without checksums, or a datagram that
    /// has to be fragmented), datagram by datagram.
    fn send_singly(&self, header: &mut libc::msghdr) {
        let Some(segment) = Control::uncut(header) else {
            return;
        };
        // SAFETY: `SendBatch::fill` has set it; one vector is all that a header has.
        let train = unsafe { *header.msg_iov };
        for at in (0..train.iov_len).step_by(segment) {
            let mut single = libc::iovec {
                // SAFETY: `at` is within the vector.
                iov_base: unsafe { train.iov_base.byte_add(at) },
                iov_len: segment.min(train.iov_len - at),
            };
            header.msg_iov = &raw mut single;
            // SAFETY: the header is whole, and `single` lives as long as the call.
            let _lost =
                unsafe { libc::sendmsg(self.socket.as_raw_fd(), header, libc::MSG_DONTWAIT) };
        }
    }
}

impl AsFd for Udp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn open(family: AddressFamily) -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket::socket(family, SockType::Datagram, flags, None)
}

/// IPv4 leaves without "don't fragment", and ICMP's "too big" is not heard (ip(7)): else the
/// kernel would keep, for minutes, the address of everyone behind a narrow path, and lose a
/// datagram to learn it. IPv6 has no other way than to learn it (RFC 8200 section 5).
fn forget_path_mtu(socket: &OwnedFd) -> nix::Result<()> {
    // On a socket of IPv6 the option holds for mapped addresses.
    set(
        socket,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_OMIT,
    )
}

/// Has the kernel tell the service class of what comes, of each family that the socket takes.
fn hear_service_class(socket: &OwnedFd, dual: bool) -> nix::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_RECVTOS, 1)?;
    if dual {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, 1)?;
    }
    Ok(())
}

fn set(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> nix::Result<()> {
    // SAFETY: the kernel reads one int, which lives as long as the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    Errno::result(done).map(drop)
}

/// Beyond the system's limit where CAP_NET_ADMIN allows it; else up to the limit.
fn enlarge_buffers(socket: &OwnedFd) {
    if socket::setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
        let _smaller = socket::setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER);
    }
    if socket::setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
        let _smaller = socket::setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER);
    }
}

/// What says nothing about the socket itself: no datagram yet, a signal, or an ICMP error
/// that came for an earlier datagram.
fn passes(error: Errno) -> bool {
    matches!(
        error,
        Errno::EAGAIN
            | Errno::EINTR
            | Errno::ENOBUFS
            | Errno::ENOMEM
            | Errno::ECONNREFUSED
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EMSGSIZE
    )
}
