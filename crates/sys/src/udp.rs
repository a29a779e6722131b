//! A UDP socket that receives and sends many datagrams with one system call.
//!
//! Datagrams of one length between the same two ends cross as a train: the kernel joins those that
//! it receives (UDP_GRO) and splits those that it sends (UDP_SEGMENT), or the network card does so.
//! Where neither can, they cross one by one.
//!
//! The socket is not connected, so that nothing in the kernel shows with whom the node talks. Each
//! datagram comes with the address that it was sent to, and an answer leaves from there: a machine
//! with several addresses replies from the address the datagram was sent to.
//!
//! recvmmsg and sendmmsg are called through libc: the wrapper in nix does not restore the length of
//! the control data between calls, so that the data would be lost after the first batch.

mod address;
mod batch;
mod control;
mod steering;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt};

use crate::failures::Failures;
use control::Control;

pub use batch::{Outgoing, Received, RecvBatch, SendBatch};
pub use steering::Steering;

/// The longest payload that a UDP header can announce, in bytes.
pub const MAX_DATAGRAM: usize = 65_535;

/// The size that is asked for the kernel's buffers, in bytes. The kernel may give less.
const SOCKET_BUFFER: usize = 4 << 20;

/// One unconnected UDP socket for IPv4 and IPv6, or for IPv4 alone if the kernel has no IPv6.
pub struct Udp {
    socket: OwnedFd,
    dual: bool,
    failures: Failures,
}

impl Udp {
    /// Binds `port` on every address. For 0 the kernel chooses a port.
    ///
    /// # Errors
    /// The port is taken or needs a right.
    pub fn bind(port: u16) -> io::Result<Self> {
        Self::open(port, false)
    }

    /// Binds several sockets to one port, one for each thread. A datagram that `steering` does not
    /// assign to a socket comes to the one that a hash of its addresses selects.
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
        // Without steering, more datagrams come to the wrong thread, which hands them over.
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
        ignore_path_mtu(&socket)?;
        receive_service_class(&socket, dual)?;
        enlarge_buffers(&socket);
        socket::setsockopt(&socket, sockopt::ReusePort, &shared)?;
        socket::bind(socket.as_raw_fd(), &SockaddrStorage::from(any))?;
        // Without it, datagrams are received one by one.
        let _alone = socket::setsockopt(&socket, sockopt::UdpGroSegment, &true);
        Ok(Self {
            socket,
            dual,
            failures: Failures::default(),
        })
    }

    /// The port that the socket is bound to.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn port(&self) -> io::Result<u16> {
        let name: SockaddrStorage = socket::getsockname(self.socket.as_raw_fd())?;
        let v6 = name.as_sockaddr_in6().map(|name| name.port());
        v6.or_else(|| name.as_sockaddr_in().map(|name| name.port()))
            .ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Receives into `batch` what is there and fits, without waiting. Returns how many trains came.
    ///
    /// # Errors
    /// The socket has failed 1,000 times in a row. It is no error if nothing is there, nor what a
    /// network can cause: an ICMP error about an earlier datagram, or one that the kernel cannot
    /// hand over.
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
            Ok(count) => {
                self.failures.end();
                usize::try_from(count).unwrap_or(0)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => 0,
            Err(error) => {
                self.failures.add(error)?;
                0
            }
        };
        batch.received(count);
        Ok(count)
    }

    /// Sends trains. A datagram that cannot be sent is lost, as on a wire. The others are sent.
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
                // Otherwise the first train is lost. Continue behind it.
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

    /// Sends a train datagram by datagram, because the interface cannot split it (a card without
    /// checksums, or datagrams that must be fragmented).
    fn send_singly(&self, header: &mut libc::msghdr) {
        let Some(segment) = Control::take_segment(header) else {
            return;
        };
        // SAFETY: `SendBatch::fill` has set it, and a header has exactly one vector.
        let train = unsafe { *header.msg_iov };
        for at in (0..train.iov_len).step_by(segment) {
            let mut single = libc::iovec {
                // SAFETY: `at` is within the vector.
                iov_base: unsafe { train.iov_base.byte_add(at) },
                iov_len: segment.min(train.iov_len - at),
            };
            header.msg_iov = &raw mut single;
            // SAFETY: the header is complete, and `single` outlives the call.
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

/// IPv4 leaves without "don't fragment", and the kernel ignores ICMP's "too big" (ip(7)). Otherwise
/// the kernel would keep, for minutes, the address of every client behind a narrow path, and would
/// lose a datagram to learn it. IPv6 has no other way than to learn it (RFC 8200 section 5).
fn ignore_path_mtu(socket: &OwnedFd) -> nix::Result<()> {
    // On an IPv6 socket the option applies to mapped addresses.
    set(
        socket,
        libc::IPPROTO_IP,
        libc::IP_MTU_DISCOVER,
        libc::IP_PMTUDISC_OMIT,
    )
}

/// Makes the kernel give the service class of each datagram, for each family of the socket.
fn receive_service_class(socket: &OwnedFd, dual: bool) -> nix::Result<()> {
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
    // SAFETY: the kernel reads one int, which outlives the call.
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

/// Goes beyond the system's limit if CAP_NET_ADMIN allows it, otherwise up to the limit.
fn enlarge_buffers(socket: &OwnedFd) {
    if socket::setsockopt(socket, sockopt::RcvBufForce, &SOCKET_BUFFER).is_err() {
        let _smaller = socket::setsockopt(socket, sockopt::RcvBuf, &SOCKET_BUFFER);
    }
    if socket::setsockopt(socket, sockopt::SndBufForce, &SOCKET_BUFFER).is_err() {
        let _smaller = socket::setsockopt(socket, sockopt::SndBuf, &SOCKET_BUFFER);
    }
}
