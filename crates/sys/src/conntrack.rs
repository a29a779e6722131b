//! The kernel's connections: deletes those of addresses that are gone (ctnetlink).
//!
//! The kernel cannot delete "all connections of this address". So the table is listed, once for
//! any number of addresses, and each match is deleted. What was listed is wiped before
//! [`Connections::forget`] returns.
//!
//! Since Linux 6.12 the kernel deletes by one address itself (`CTA_FILTER`). With 200,000 connections
//! that takes 0.05 s of a processor for each address and direction, and to list them 0.34 s for any
//! number of addresses. Both directions must be looked at, so it would save time for one or two
//! addresses only, and the list is needed for more of them and for older kernels.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;

use crate::netlink::{
    self, NFGENMSG_LEN, NLA_TYPE_MASK, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN, Request, receive,
    split, verdict,
};

/// The kernel lists less than this at once.
const ROOM: usize = 64 * 1024;

/// linux/netfilter/nfnetlink.h
const NFNL_SUBSYS_CTNETLINK: u16 = 1;
/// linux/netfilter/nfnetlink_conntrack.h: `enum cntl_msg_types`
const IPCTNL_MSG_CT_GET: u16 = 1;
const IPCTNL_MSG_CT_DELETE: u16 = 2;
/// `enum ctattr_type`
const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_ID: u16 = 12;
const CTA_ZONE: u16 = 18;
/// `enum ctattr_tuple`
const CTA_TUPLE_IP: u16 = 1;
/// `enum ctattr_ip`
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const ADDRESSES: [u16; 4] = [CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST];

/// The right to list and delete connections, as a socket.
pub struct Connections {
    socket: OwnedFd,
    room: Vec<u8>,
    /// Of the last request. An answer to another one is left from a pass that failed.
    number: u32,
}

impl Connections {
    /// Opens the socket. CAP_NET_ADMIN is needed here and at each use.
    ///
    /// # Errors
    /// The kernel has no netfilter, or there is no descriptor left.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            socket: netlink::open()?,
            room: vec![0; ROOM],
            number: 0,
        })
    }

    /// Deletes every connection from or to one of `gone`, before or after translation.
    ///
    /// # Errors
    /// The right is missing, the kernel does not answer, or it had no memory for an answer. Some of
    /// the connections may be left then, and it can be called again.
    pub fn forget(&mut self, gone: &HashSet<IpAddr>) -> io::Result<()> {
        netlink::drain(&self.socket, &mut self.room);
        self.room.fill(0);
        for family in [libc::AF_INET as u8, libc::AF_INET6 as u8] {
            let v4 = libc::c_int::from(family) == libc::AF_INET;
            if gone.iter().any(|address| address.is_ipv4() == v4) {
                let mut found = self.find(family, gone)?;
                let mut entries = found.iter();
                let deleted = entries.try_for_each(|entry| self.delete(family, entry));
                found.iter_mut().for_each(|entry| entry.fill(0));
                deleted?;
            }
        }
        Ok(())
    }

    /// Finds the connections to delete. Each is given by the attributes that name it.
    fn find(&mut self, family: u8, gone: &HashSet<IpAddr>) -> io::Result<Vec<Vec<u8>>> {
        let mut room = std::mem::take(&mut self.room);
        let found = self.list(family, gone, &mut room);
        room.fill(0);
        self.room = room;
        found
    }

    fn list(
        &mut self,
        family: u8,
        gone: &HashSet<IpAddr>,
        room: &mut [u8],
    ) -> io::Result<Vec<Vec<u8>>> {
        self.send(IPCTNL_MSG_CT_GET, libc::NLM_F_DUMP, family, &[])?;
        let mut found = Vec::new();
        loop {
            let mut messages = receive(&self.socket, room)?;
            while let Some((message, rest)) = split(messages) {
                messages = rest;
                if netlink::number(message) != Some(self.number) {
                    continue;
                }
                if netlink::was_interrupted(message) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                match netlink::kind(message) {
                    Some(NLMSG_DONE) => return Ok(found),
                    Some(NLMSG_ERROR) => verdict(message)?,
                    _ => {
                        let entry = message.get(NLMSG_HDRLEN + NFGENMSG_LEN..);
                        let entry = entry.unwrap_or_default();
                        if is_of(entry, gone) {
                            found.push(name(entry));
                        }
                    }
                }
            }
        }
    }

    fn delete(&mut self, family: u8, entry: &[u8]) -> io::Result<()> {
        self.send(IPCTNL_MSG_CT_DELETE, libc::NLM_F_ACK, family, entry)?;
        let mut answer = [0; 1024];
        let messages = receive(&self.socket, &mut answer)?;
        let (message, _) = split(messages).ok_or(io::ErrorKind::InvalidData)?;
        let done = verdict(message);
        // The answer repeats the request.
        answer.fill(0);
        match done {
            // The connection has ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            done => done,
        }
    }

    fn send(&mut self, kind: u16, flags: i32, family: u8, attributes: &[u8]) -> io::Result<()> {
        self.number = self.number.wrapping_add(1);
        let request = Request {
            kind: NFNL_SUBSYS_CTNETLINK << 8 | kind,
            flags,
            number: self.number,
            family,
            resource: 0,
            attributes,
        };
        let mut bytes = request.to_bytes();
        let sent = netlink::send(&self.socket, &bytes);
        bytes.fill(0);
        Ok(sent?)
    }
}

/// Whether an address of either direction is in `gone`.
fn is_of(entry: &[u8], gone: &HashSet<IpAddr>) -> bool {
    attributes(entry)
        .filter(|(kind, _, _)| [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY].contains(kind))
        .flat_map(|(_, tuple, _)| attributes(tuple))
        .filter(|(kind, _, _)| *kind == CTA_TUPLE_IP)
        .flat_map(|(_, addresses, _)| attributes(addresses))
        .filter(|(kind, _, _)| ADDRESSES.contains(kind))
        .filter_map(|(_, address, _)| parse(address))
        .any(|address| gone.contains(&address))
}

/// The attributes by which the kernel finds a connection.
fn name(entry: &[u8]) -> Vec<u8> {
    let names = [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE];
    attributes(entry)
        .filter(|(kind, _, _)| names.contains(kind))
        .flat_map(|(_, _, whole)| whole.iter().copied())
        .collect()
}

fn parse(address: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(address).map(|octets| Ipv4Addr::from(octets).into());
    let v6 = || <[u8; 16]>::try_from(address).map(|octets| Ipv6Addr::from(octets).into());
    v4.or_else(|_| v6()).ok()
}

/// Of each attribute: its type, its value, and all of it with header and padding.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(word(rest, 0)?);
        let kind = word(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(4..length)?;
        let padded = length.next_multiple_of(4).min(rest.len());
        let (whole, others) = rest.split_at_checked(padded)?;
        rest = others;
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
    use crate::netlink::NLA_F_NESTED;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut whole = (4 + value.len() as u16).to_ne_bytes().to_vec();
        whole.extend(kind.to_ne_bytes());
        whole.extend(value);
        whole.resize(whole.len().next_multiple_of(4), 0);
        whole
    }

    fn tuple(kind: u16, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let addresses = [
            attribute(CTA_IP_V4_SRC, &from),
            attribute(CTA_IP_V4_DST, &to),
        ]
        .concat();
        attribute(
            kind | NLA_F_NESTED,
            &attribute(CTA_TUPLE_IP | NLA_F_NESTED, &addresses),
        )
    }

    #[test]
    fn a_connection_is_its_addresses_in_either_direction() {
        let entry = [
            tuple(CTA_TUPLE_ORIG, [10, 64, 0, 2], [203, 0, 113, 9]),
            tuple(CTA_TUPLE_REPLY, [203, 0, 113, 9], [192, 0, 2, 1]),
            attribute(3, &[1, 2, 3]),
            attribute(CTA_ID, &[0, 0, 0, 7]),
        ]
        .concat();
        let of = |address: [u8; 4]| is_of(&entry, &HashSet::from([address.into()]));
        assert!(of([10, 64, 0, 2]) && of([203, 0, 113, 9]) && of([192, 0, 2, 1]));
        assert!(!of([10, 64, 0, 3]));
        let named = [
            tuple(CTA_TUPLE_ORIG, [10, 64, 0, 2], [203, 0, 113, 9]),
            attribute(CTA_ID, &[0, 0, 0, 7]),
        ];
        assert_eq!(name(&entry), named.concat());
    }

    #[test]
    fn an_answer_that_is_cut_ends_the_reading() {
        let entry = tuple(CTA_TUPLE_ORIG, [10, 64, 0, 2], [203, 0, 113, 9]);
        for length in 0..entry.len() {
            let _ = is_of(&entry[..length], &HashSet::from([[10, 64, 0, 2].into()]));
        }
        assert_eq!(attributes(&[3, 0, 1, 0]).count(), 0);
    }
}
