//! DHCP messages: the three forms that the client sends, and the three that it reads.

use std::net::Ipv4Addr;
use std::time::Duration;

use dhcproto::v4::borrowed;
use dhcproto::v4::{DhcpOption, Encodable as _, Flags, Message, MessageType, Opcode, OptionCode};

/// One of the codes that RFC 3942 leaves to each site.
const BUNDLE_URL: u8 = 224;

/// A server's answer, of any of the three kinds.
pub(super) struct Reply {
    pub(super) kind: Kind,
    pub(super) address: Ipv4Addr,
    pub(super) server: Ipv4Addr,
    pub(super) prefix: Option<u8>,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) bundle: Option<String>,
    pub(super) term: Option<Duration>,
    pub(super) renew: Option<Duration>,
    pub(super) rebind: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Offer,
    Ack,
    Nak,
}

/// Parses an answer to (`mac`, `xid`). It reads only the options that the client uses.
pub(super) fn parse(datagram: &[u8], mac: [u8; 6], xid: u32) -> Option<Reply> {
    let message = borrowed::Message::new(datagram).ok()?;
    let ours = message.opcode() == Opcode::BootReply
        && message.xid() == xid
        // Check the length first: `chaddr` trusts it, and 255 would be past the end.
        && usize::from(message.hlen()) == mac.len()
        && message.chaddr() == mac;
    if !ours {
        return None;
    }

    let mut reply = Reply {
        kind: Kind::Nak,
        address: message.yiaddr(),
        server: Ipv4Addr::UNSPECIFIED,
        prefix: None,
        gateway: None,
        bundle: None,
        term: None,
        renew: None,
        rebind: None,
    };
    let mut kind = None;
    for option in message.opts() {
        let data = option.data();
        match option.code() {
            OptionCode::MessageType => kind = reply_kind(data),
            OptionCode::ServerIdentifier => reply.server = address(data)?,
            OptionCode::SubnetMask => reply.prefix = Some(prefix(data)?),
            OptionCode::Router => reply.gateway = Some(address(data)?),
            OptionCode::AddressLeaseTime => reply.term = seconds(data),
            OptionCode::Renewal => reply.renew = seconds(data),
            OptionCode::Rebinding => reply.rebind = seconds(data),
            OptionCode::Unknown(BUNDLE_URL) => {
                reply.bundle = Some(String::from_utf8(data.to_vec()).ok()?);
            }
            _ => {}
        }
    }
    reply.kind = kind?;
    let complete = reply.kind == Kind::Nak || usable(reply.address);
    (complete && usable(reply.server)).then_some(reply)
}

pub(super) fn discover(mac: [u8; 6], xid: u32) -> Vec<u8> {
    let mut message = from_us(mac, xid, MessageType::Discover);
    message.set_flags(Flags::default().set_broadcast());
    encode(&message)
}

/// Requests the offered address (state SELECTING in RFC 2131, table 4).
pub(super) fn request(mac: [u8; 6], xid: u32, address: Ipv4Addr, server: Ipv4Addr) -> Vec<u8> {
    let mut message = from_us(mac, xid, MessageType::Request);
    message.set_flags(Flags::default().set_broadcast());
    let options = message.opts_mut();
    options.insert(DhcpOption::RequestedIpAddress(address));
    options.insert(DhcpOption::ServerIdentifier(server));
    encode(&message)
}

/// Asks to extend the lease (states RENEWING and REBINDING in RFC 2131, table 4).
pub(super) fn renewal(mac: [u8; 6], xid: u32, address: Ipv4Addr) -> Vec<u8> {
    let mut message = from_us(mac, xid, MessageType::Request);
    message.set_ciaddr(address);
    encode(&message)
}

/// Only what a server needs: no host name, no vendor, and no client id other than the MAC.
fn from_us(mac: [u8; 6], xid: u32, kind: MessageType) -> Message {
    let unset = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, unset, unset, unset, unset, &mac);
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ParameterRequestList(vec![
        OptionCode::SubnetMask,
        OptionCode::Router,
        OptionCode::Renewal,
        OptionCode::Rebinding,
        OptionCode::Unknown(BUNDLE_URL),
    ]));
    message
}

/// Our messages are short and have no option that can fail to encode.
fn encode(message: &Message) -> Vec<u8> {
    message.to_vec().unwrap_or_default()
}

fn reply_kind(data: &[u8]) -> Option<Kind> {
    match MessageType::from(*data.first()?) {
        MessageType::Offer => Some(Kind::Offer),
        MessageType::Ack => Some(Kind::Ack),
        MessageType::Nak => Some(Kind::Nak),
        _ => None,
    }
}

/// An address, or the first of a list of addresses.
fn address(data: &[u8]) -> Option<Ipv4Addr> {
    data.first_chunk::<4>()
        .map(|octets| Ipv4Addr::from(*octets))
}

fn prefix(data: &[u8]) -> Option<u8> {
    let mask = u32::from(address(data)?);
    let ones = mask.leading_ones();
    (mask.count_ones() == ones && ones > 0).then_some(ones as u8)
}

fn seconds(data: &[u8]) -> Option<Duration> {
    let seconds = data.first_chunk::<4>()?;
    Some(Duration::from_secs(u32::from_be_bytes(*seconds).into()))
}

fn usable(address: Ipv4Addr) -> bool {
    !address.is_unspecified()
        && !address.is_broadcast()
        && !address.is_multicast()
        && !address.is_loopback()
}
