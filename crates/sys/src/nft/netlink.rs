//! Messages of the kernel (linux/netlink.h).

use std::io;

/// NLMSG_ERROR, which says that all is well, too.
const ANSWER: u16 = 2;
/// nlmsghdr
const HEADER: usize = 16;

/// The first message of some, and the others.
pub fn split(messages: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u32::from_ne_bytes(messages.get(..4)?.try_into().ok()?) as usize;
    let message = messages.get(..length).filter(|_| length >= HEADER)?;
    let behind = messages
        .get(length.next_multiple_of(4)..)
        .unwrap_or_default();
    Some((message, behind))
}

/// nlmsgerr: an error number below zero, or zero.
pub fn verdict(message: &[u8]) -> io::Result<()> {
    let kind = message.get(4..6).and_then(|kind| kind.try_into().ok());
    let error = message.get(HEADER..HEADER + 4);
    let error = error.and_then(|error| error.try_into().ok());
    match (kind.map(u16::from_ne_bytes), error.map(i32::from_ne_bytes)) {
        (Some(ANSWER), Some(0)) => Ok(()),
        (Some(ANSWER), Some(error)) => Err(io::Error::from_raw_os_error(error.saturating_neg())),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
