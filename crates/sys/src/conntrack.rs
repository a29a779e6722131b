//! The kernel's connections: deleting those of addresses that are gone (ctnetlink).
//!
//! The kernel has no way to say "all of this address", so the table is listed, once for any
//! number of addresses, and what matches is deleted. What was listed is wiped before
//! [`Connections::forget`] returns.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::nft::netlink::{split, verdict};

/// The kernel answers at once; a kernel that does not is an error, not a wait.
const PATIENCE: TimeVal = TimeVal::new(5, 0);
/// What the kernel lists at once is shorter.
const ROOM: usize = 64 * 1024;

/// linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h
const SUBSYSTEM: u16 = 1;
const LIST: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ID: u16 = 12;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
/// Source and destination, IPv4 and IPv6.
const ADDRESSES: [u16; 4] = [1, 2, 3, 4];

/// linux/netlink.h
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// nlmsghdr, nfgenmsg
const HEADER: usize = 16;
const FAMILY: usize = 4;
/// Without the bits "nested" and "network byte order".
const KIND: u16 = 0x3fff;

/// The right to list and delete connections, as a socket.
pub struct Connections {
    socket: OwnedFd,
    room: Vec<u8>,
}

impl Connections {
    /// Opens the socket. CAP_NET_ADMIN is wanted here and at each use.
    ///
    /// # Errors
    /// The kernel has no netfilter.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let protocol = SockProtocol::NetlinkNetFilter;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        setsockopt(&socket, sockopt::ReceiveTimeout, &PATIENCE)?;
        Ok(Self {
            socket,
            room: vec![0; ROOM],
        })
    }

    /// Deletes every connection from or to one of `gone`, as it came or as it was translated.
    ///
    /// # Errors
    /// No right, or the kernel does not answer.
    pub fn forget(&mut self, gone: &HashSet<IpAddr>) -> io::Result<()> {
        for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
            let v4 = libc::c_int::from(family) == libc::AF_INET;
            if gone.iter().any(|address| address.is_ipv4() == v4) {
                let mut found = self.find(family, gone)?;
                let deleted = found
                    .iter()
                    .try_for_each(|entry| self.delete(family, entry));
                found.iter_mut().for_each(|entry| entry.fill(0));
                deleted?;
            }
        }
        Ok(())
    }

    /// What names each connection that is to go.
    fn find(&mut self, family: u8, gone: &HashSet<IpAddr>) -> io::Result<Vec<Vec<u8>>> {
        let mut room = std::mem::take(&mut self.room);
        let found = self.list(family, gone, &mut room);
        room.fill(0);
        self.room = room;
        found
    }

    fn list(
        &self,
        family: u8,
        gone: &HashSet<IpAddr>,
        room: &mut [u8],
    ) -> io::Result<Vec<Vec<u8>>> {
        self.send(LIST, libc::NLM_F_DUMP, family, &[])?;
        let mut found = Vec::new();
        loop {
            let length = recv(self.socket.as_raw_fd(), room, MsgFlags::empty())?;
            let mut rest = room.get(..length).unwrap_or_default();
            while let Some((message, behind)) = split(rest) {
                match word(message, 4) {
                    Some(DONE) => return Ok(found),
                    Some(ERROR) => verdict(message)?,
                    _ => {
                        let entry = message.get(HEADER + FAMILY..).unwrap_or_default();
                        if is_of(entry, gone) {
                            found.push(name(entry));
                        }
                    }
                }
                rest = behind;
            }
        }
    }

    fn delete(&self, family: u8, entry: &[u8]) -> io::Result<()> {
        self.send(DELETE, libc::NLM_F_ACK, family, entry)?;
        let mut answer = [0; 1024];
        let length = recv(self.socket.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        // It repeats what was asked.
        let (message, _) =
            split(answer.get(..length).unwrap_or_default()).ok_or(io::ErrorKind::InvalidData)?;
        let done = verdict(message);
        answer.fill(0);
        match done {
            // It has ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            done => done,
        }
    }

    /// nlmsghdr, nfgenmsg, attributes.
    fn send(&self, kind: u16, flags: i32, family: u8, attributes: &[u8]) -> io::Result<()> {
        let length = (HEADER + FAMILY + attributes.len()) as u32;
        let flags = (flags | libc::NLM_F_REQUEST) as u16;
        let mut message = Vec::with_capacity(length as usize);
        message.extend(length.to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend([0; 8]);
        message.extend([family, 0, 0, 0]);
        message.extend(attributes);
        let kernel = NetlinkAddr::new(0, 0);
        let sent = sendto(
            self.socket.as_raw_fd(),
            &message,
            &kernel,
            MsgFlags::empty(),
        );
        message.fill(0);
        Ok(sent.map(drop)?)
    }
}

/// Whether an address of either direction is among those.
fn is_of(entry: &[u8], gone: &HashSet<IpAddr>) -> bool {
    attributes(entry)
        .filter(|(kind, _, _)| [TUPLE_ORIGINAL, TUPLE_REPLY].contains(kind))
        .flat_map(|(_, tuple, _)| attributes(tuple))
        .filter(|(kind, _, _)| *kind == TUPLE_IP)
        .flat_map(|(_, addresses, _)| attributes(addresses))
        .filter(|(kind, _, _)| ADDRESSES.contains(kind))
        .filter_map(|(_, address, _)| parse(address))
        .any(|address| gone.contains(&address))
}

/// What the kernel finds a connection by.
fn name(entry: &[u8]) -> Vec<u8> {
    let named = attributes(entry).filter(|(kind, _, _)| [TUPLE_ORIGINAL, ID, ZONE].contains(kind));
    named
        .flat_map(|(_, _, whole)| whole.iter().copied())
        .collect()
}

fn parse(address: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(address).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = || <[u8; 16]>::try_from(address).map(|octets| Ipv6Addr::from(octets).into());
    v4.or_else(|_| v6()).ok()
}

/// Kind, value, and the whole with its header and padding, of each attribute.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(word(rest, 0)?);
        let kind = word(rest, 2)? & KIND;
        let value = rest.get(4..length)?;
        let padded = length.next_multiple_of(4).min(rest.len());
        let (whole, behind) = rest.split_at_checked(padded)?;
        rest = behind;
        Some((kind, value, whole))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?;
    bytes.try_into().ok().map(u16::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut whole = (4 + value.len() as u16).to_ne_bytes().to_vec();
        whole.extend(kind.to_ne_bytes());
        whole.extend(value);
        whole.resize(whole.len().next_multiple_of(4), 0);
        whole
    }

    fn tuple(kind: u16, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let addresses = [attribute(1, &from), attribute(2, &to)].concat();
        attribute(kind | 0x8000, &attribute(TUPLE_IP | 0x8000, &addresses))
    }

    #[test]
    fn a_connection_is_its_addresses_in_either_direction() {
        let entry = [
            tuple(TUPLE_ORIGINAL, [10, 64, 0, 2], [203, 0, 113, 9]),
            tuple(TUPLE_REPLY, [203, 0, 113, 9], [192, 0, 2, 1]),
            attribute(3, &[1, 2, 3]),
            attribute(ID, &[0, 0, 0, 7]),
        ]
        .concat();
        let of = |address: [u8; 4]| is_of(&entry, &HashSet::from([address.into()]));
        assert!(of([10, 64, 0, 2]) && of([203, 0, 113, 9]) && of([192, 0, 2, 1]));
        assert!(!of([10, 64, 0, 3]));
        let named = [
            tuple(TUPLE_ORIGINAL, [10, 64, 0, 2], [203, 0, 113, 9]),
            attribute(ID, &[0, 0, 0, 7]),
        ];
        assert_eq!(name(&entry), named.concat());
    }

    #[test]
    fn an_answer_that_is_cut_ends_the_reading() {
        let entry = tuple(TUPLE_ORIGINAL, [10, 64, 0, 2], [203, 0, 113, 9]);
        for length in 0..entry.len() {
            let _ = is_of(&entry[..length], &HashSet::from([[10, 64, 0, 2].into()]));
        }
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
    }
}
