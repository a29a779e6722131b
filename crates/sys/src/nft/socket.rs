//! The way to the kernel and its answers.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::Batch;

/// NLMSG_ERROR, which says that all is well, too.
const ANSWER: u16 = 2;
/// nlmsghdr
const HEADER: usize = 16;
/// The kernel answers at once; a kernel that does not is an error, not a wait.
const PATIENCE: TimeVal = TimeVal::new(5, 0);
/// For the answers, which come all together.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Sends a batch and reads an answer to each of its messages.
pub fn transact(batch: &Batch) -> io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC;
    let protocol = SockProtocol::NetlinkNetFilter;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &PATIENCE)?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    let kernel = NetlinkAddr::new(0, 0);
    sendto(socket.as_raw_fd(), &batch.bytes, &kernel, MsgFlags::empty())?;

    let mut room = vec![0; 64 * 1024];
    let mut answered = 0;
    while answered < batch.answers {
        let length = recv(socket.as_raw_fd(), &mut room, MsgFlags::empty())?;
        let mut rest = room.get(..length).unwrap_or_default();
        while let Some((message, behind)) = split(rest) {
            answered += 1;
            verdict(message)?;
            rest = behind;
        }
    }
    Ok(())
}

/// The first message of some, and the others.
fn split(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(messages.get(..4)?.try_into().ok()?) as usize;
    let message = messages.get(..length).filter(|_| length >= HEADER)?;
    let behind = messages
        .get(length.next_multiple_of(4)..)
        .unwrap_or_default();
    Some((message, behind))
}

/// nlmsgerr: an error number below zero, or zero.
fn verdict(message: &[u8]) -> io::Result<()> {
    let kind = message.get(4..6).and_then(|kind| kind.try_into().ok());
    let error = message.get(HEADER..HEADER + 4);
    let error = error.and_then(|error| error.try_into().ok());
    match (kind.map(u16::from_ne_bytes), error.map(i32::from_ne_bytes)) {
        (Some(ANSWER), Some(0)) => Ok(()),
        (Some(ANSWER), Some(error)) => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
