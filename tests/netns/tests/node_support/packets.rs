//! Packets made by hand, and a look at those that pass.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd as _, OwnedFd};

use mayfly_netns::Namespace;
use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, ReceiveTimeout};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto,
    setsockopt, socket,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use super::PATIENCE;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP: u8 = 1;
pub(crate) const ICMPV6: u8 = 58;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// Everything that passes through a namespace, in either direction, from its making on.
pub(crate) struct Watch(OwnedFd);

impl Watch {
    pub(crate) fn new(namespace: &Namespace) -> Self {
        namespace.within(|| {
            let (family, all) = (AddressFamily::Packet, SockProtocol::EthAll);
            let socket = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, all).unwrap();
            setsockopt(&socket, RcvBuf, &(16 << 20)).unwrap();
            let patience = TimeVal::seconds(PATIENCE.as_secs() as i64);
            setsockopt(&socket, ReceiveTimeout, &patience).unwrap();
            Self(socket)
        })
    }

    /// The packets up to the first that `is_last` holds for, which is among them.
    pub(crate) fn until(&self, is_last: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        let mut packets = Vec::new();
        loop {
            let mut room = vec![0; 65_536];
            let received = recv(self.0.as_raw_fd(), &mut room, MsgFlags::empty());
            let length = match received {
                Err(Errno::EINTR) => continue,
                received => received.expect("the last packet comes"),
            };
            room.truncate(length);
            let Some(packet) = Packet::parse(room) else {
                continue;
            };
            let ends = is_last(&packet);
            packets.push(packet);
            if ends {
                return packets;
            }
        }
    }
}

/// An IP packet.
#[derive(Debug)]
pub(crate) struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    /// What follows the IP header.
    pub body: Vec<u8>,
}

impl Packet {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let octets = |at: usize| -> Option<[u8; 16]> { bytes.get(at..at + 16)?.try_into().ok() };
        let v4 = |at: usize| -> Option<[u8; 4]> { bytes.get(at..at + 4)?.try_into().ok() };
        match bytes.first()? >> 4 {
            4 => Some(Self {
                source: v4(12)?.into(),
                destination: v4(16)?.into(),
                protocol: *bytes.get(9)?,
                body: bytes.get(usize::from(bytes[0] & 15) * 4..)?.to_vec(),
            }),
            6 => Some(Self {
                source: octets(8)?.into(),
                destination: octets(24)?.into(),
                protocol: *bytes.get(6)?,
                body: bytes.get(40..)?.to_vec(),
            }),
            _ => None,
        }
    }

    /// Ports, or for ICMP its type and code.
    pub(crate) fn ports(&self) -> (u16, u16) {
        match self.protocol {
            ICMP | ICMPV6 => (self.body[0].into(), self.body[1].into()),
            _ => (
                u16::from_be_bytes([self.body[0], self.body[1]]),
                u16::from_be_bytes([self.body[2], self.body[3]]),
            ),
        }
    }

    /// Whether the text is in it.
    pub(crate) fn has(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.body.windows(text.len()).any(|part| part == text)
    }
}

/// Sends a packet with any source from a namespace.
pub(crate) fn send(
    namespace: &Namespace,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    body: &[u8],
) {
    let body = checked(source, destination, protocol, body);
    namespace.within(|| Raw::new(destination).send(source, destination, protocol, &body));
}

/// A raw socket in the namespace of the caller's thread.
pub(crate) struct Raw(OwnedFd);

impl Raw {
    /// A socket for the family of an address.
    pub(crate) fn new(of: IpAddr) -> Self {
        let family = match of {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        let flags = SockFlag::SOCK_CLOEXEC;
        Self(socket(family, SockType::Raw, flags, SockProtocol::Raw).unwrap())
    }

    /// Sends a packet whose body is complete. The kernel writes an IPv4 header's length and
    /// checksum.
    pub(crate) fn send(&self, source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) {
        let packet = [&header(source, destination, protocol, body.len()), body].concat();
        let (to, none) = (SocketAddr::new(destination, 0), MsgFlags::empty());
        let sent = sendto(
            self.0.as_raw_fd(),
            &packet,
            &SockaddrStorage::from(to),
            none,
        );
        assert_eq!(sent, Ok(packet.len()));
    }
}

fn header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let head = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
            [&head, &source.octets()[..], &destination.octets()].concat()
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [high, low] = (length as u16).to_be_bytes();
            let head = [0x60, 0, 0, 0, high, low, protocol, 64];
            [&head, &source.octets()[..], &destination.octets()].concat()
        }
        _ => panic!("one family"),
    }
}

/// A UDP datagram without its checksum, which [`send`] writes.
pub(crate) fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let head = [from, to, length, 0].map(u16::to_be_bytes).concat();
    [&head, payload].concat()
}

/// A TCP segment without its checksum, which [`send`] writes.
pub(crate) fn tcp(from: u16, to: u16, flags: u8) -> Vec<u8> {
    let mut segment = [from, to].map(u16::to_be_bytes).concat();
    segment.extend([0, 0, 0, 7, 0, 0, 0, 9, 0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    segment
}

/// An echo request without its checksum, which [`send`] writes.
pub(crate) fn echo(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let kind = if protocol == ICMP { 8 } else { 128 };
    [&[kind, 0, 0, 0, 0, 7, 0, 1], payload].concat()
}

/// Writes the checksum (RFC 1071, RFC 8200 section 8.1) where the protocol has it.
pub(crate) fn checked(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        ICMP | ICMPV6 => 2,
        _ => return body.to_vec(),
    };
    let mut sum = match protocol {
        ICMP => 0,
        _ => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            words(&octets(source))
                + words(&octets(destination))
                + u32::from(protocol)
                + body.len() as u32
        }
    };
    sum += words(body);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let mut body = body.to_vec();
    body[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
    body
}

fn words(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2);
    words
        .map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)))
        .sum()
}
