//! The way to the kernel and its answers.

use std::io;
use std::os::fd::AsRawFd as _;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::Batch;
use super::netlink::{split, verdict};

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
