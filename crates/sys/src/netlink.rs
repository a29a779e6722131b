//! Netlink with netfilter: one encoder of requests, and the kernel's answers (linux/netlink.h,
//! linux/netfilter/nfnetlink.h).

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

/// The kernel answers at once. If it does not, that is an error and not a reason to wait.
const PATIENCE: TimeVal = TimeVal::new(5, 0);

/// Bytes of `struct nlmsghdr`.
pub(crate) const NLMSG_HDRLEN: usize = 16;
/// Bytes of `struct nfgenmsg`.
pub(crate) const NFGENMSG_LEN: usize = 4;

/// Message types of the kernel. An error of 0 is a success.
pub(crate) const NLMSG_ERROR: u16 = 2;
pub(crate) const NLMSG_DONE: u16 = 3;

/// The bits of an attribute's type that are not its number.
pub(crate) const NLA_F_NESTED: u16 = 1 << 15;
const NLA_F_NET_BYTEORDER: u16 = 1 << 14;
/// The bits that are its number.
pub(crate) const NLA_TYPE_MASK: u16 = !(NLA_F_NESTED | NLA_F_NET_BYTEORDER);

/// A netlink socket for netfilter.
///
/// # Errors
/// The kernel has no netfilter, or there is no descriptor left.
pub(crate) fn open() -> nix::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkNetFilter;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &PATIENCE)?;
    Ok(socket)
}

/// Sends messages to the kernel.
///
/// # Errors
/// No right, or the kernel has no room for them.
pub(crate) fn send(socket: &OwnedFd, messages: &[u8]) -> nix::Result<()> {
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), messages, &kernel, MsgFlags::empty()).map(drop)
}

/// Receives messages of the kernel into `room`, and returns them.
///
/// # Errors
/// The kernel did not answer in time.
pub(crate) fn receive<'a>(socket: &OwnedFd, room: &'a mut [u8]) -> nix::Result<&'a [u8]> {
    let length = recv(socket.as_raw_fd(), room, MsgFlags::empty())?;
    Ok(room.get(..length).unwrap_or_default())
}

/// Throws away what the kernel has sent for an earlier request. If that listed something, the list
/// goes on until all of it was received, and until then there can be no other.
pub(crate) fn drain(socket: &OwnedFd, room: &mut [u8]) {
    loop {
        match recv(socket.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EAGAIN) => return,
            // Told once, when there was no room for a message.
            Ok(_) | Err(Errno::ENOBUFS | Errno::EINTR) => {}
            // The next request will meet it, too.
            Err(_) => return,
        }
    }
}

/// A message to the kernel.
pub(crate) struct Request<'a> {
    pub(crate) kind: u16,
    /// `NLM_F_REQUEST` is added.
    pub(crate) flags: libc::c_int,
    /// The kernel's answer repeats it.
    pub(crate) number: u32,
    pub(crate) family: u8,
    pub(crate) resource: u16,
    pub(crate) attributes: &'a [u8],
}

impl Request<'_> {
    /// nlmsghdr, nfgenmsg, attributes.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let length = NLMSG_HDRLEN + NFGENMSG_LEN + self.attributes.len();
        let flags = (self.flags | libc::NLM_F_REQUEST) as u16;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend((length as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(self.number.to_ne_bytes());
        // From no port: the kernel knows the socket.
        bytes.extend([0; 4]);
        // NFNETLINK_V0
        bytes.extend([self.family, 0]);
        bytes.extend(self.resource.to_be_bytes());
        bytes.extend(self.attributes);
        bytes
    }
}

/// Splits the first message off.
pub(crate) fn split(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(messages.get(..4)?.try_into().ok()?) as usize;
    let message = messages.get(..length).filter(|_| length >= NLMSG_HDRLEN)?;
    let rest = messages
        .get(length.next_multiple_of(4)..)
        .unwrap_or_default();
    Some((message, rest))
}

/// The type of a message.
pub(crate) fn kind(message: &[u8]) -> Option<u16> {
    let kind = message.get(4..6)?;
    kind.try_into().ok().map(u16::from_ne_bytes)
}

/// The number of the request that a message answers.
pub(crate) fn number(message: &[u8]) -> Option<u32> {
    let number = message.get(8..12)?;
    number.try_into().ok().map(u32::from_ne_bytes)
}

/// Whether what is listed has changed meanwhile, so that something may be missing.
pub(crate) fn was_interrupted(message: &[u8]) -> bool {
    let flags = message.get(6..8).and_then(|flags| flags.try_into().ok());
    let flags = flags.map_or(0, u16::from_ne_bytes);
    flags & libc::NLM_F_DUMP_INTR as u16 != 0
}

/// Reads an answer (`struct nlmsgerr`): a negative error number, or zero.
///
/// # Errors
/// The kernel's error, or `InvalidData` if the message is not an answer.
pub(crate) fn verdict(message: &[u8]) -> io::Result<()> {
    let error = message.get(NLMSG_HDRLEN..NLMSG_HDRLEN + 4);
    let error = error.and_then(|error| error.try_into().ok());
    match (kind(message), error.map(i32::from_ne_bytes)) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(error)) => {
            Err(io::Error::from_raw_os_error(error.saturating_neg()))
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
