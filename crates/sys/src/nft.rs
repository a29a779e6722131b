//! A ruleset as data, installed in one piece (nf_tables over netlink; no program is needed).
//!
//! Mayfly has one table, in the family `inet`. [`install`] replaces all of it, or leaves everything
//! as it was. There is no way to express a counter of bytes or a log, which would keep or print
//! something of a packet. A [`Quota`] counts connections, and only as long as they live.

mod attribute;
mod expression;
mod kernel;
mod message;
mod quota;
mod socket;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

/// A table of the family `inet`.
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Its chains.
    pub chains: Vec<Chain>,
}

/// A base chain: rules at one point of a packet's path.
pub struct Chain {
    /// Its name, for `nft list ruleset`.
    pub name: &'static str,
    /// What it may do.
    pub kind: Kind,
    /// Where it is evaluated.
    pub hook: Hook,
    /// Its place among the chains of the hook. Lower is earlier.
    pub priority: i32,
    /// What happens to a packet that no rule decided.
    pub policy: Policy,
    /// Evaluated from first to last.
    pub rules: Vec<Rule>,
}

/// What a chain may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Decide about packets.
    Filter,
    /// Translate the addresses of new connections.
    Nat,
}

/// A point of a packet's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// The packet has just arrived.
    Prerouting,
    /// The packet is for this machine.
    Input,
    /// The packet passes through.
    Forward,
    /// This machine made the packet.
    Output,
    /// The packet is about to leave.
    Postrouting,
}

/// What happens to a packet that no rule of a chain decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The packet continues.
    Accept,
    /// The packet is dropped.
    Drop,
}

/// A rule: if a packet meets all of `when`, `then` happens.
pub struct Rule {
    /// The conditions.
    pub when: Vec<Match>,
    /// The action.
    pub then: Action,
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// It arrived by this interface.
    From(String),
    /// It leaves by this interface.
    To(String),
    /// Its source is in this prefix.
    Source(IpAddr, u8),
    /// Its destination is in this prefix.
    Destination(IpAddr, u8),
    /// Its destination is of this family, and not in this prefix.
    DestinationBeyond(IpAddr, u8),
    /// Its destination is an address of this machine.
    ToThisMachine,
    /// It is TCP.
    Tcp,
    /// It is UDP.
    Udp,
    /// Its TCP or UDP source port. Must follow `Tcp` or `Udp`.
    SourcePort(u16),
    /// Its TCP or UDP destination port. Must follow `Tcp` or `Udp`.
    DestinationPort(u16),
    /// Its TCP or UDP destination port is one of these. Must follow `Tcp` or `Udp`.
    DestinationPorts(RangeInclusive<u16>),
    /// It is ICMP of this type (RFC 792).
    Icmp(u8),
    /// It is ICMPv6 of this type (RFC 4443).
    Icmpv6(u8),
    /// It belongs to a connection that was accepted, or is an error about one.
    Established,
    /// Connection tracking does not understand it: it belongs to no connection, and can begin none.
    Invalid,
    /// It is the first packet of its connection, and with that connection, someone has more than
    /// this. Must be in a chain in which connections are known and not confirmed yet, that is
    /// before [`Hook::Postrouting`].
    Exceeds(Quota),
}

/// How much one address, or one pair of addresses, may have of connection tracking.
///
/// For [`Most::Open`] the kernel keeps a list of connections for each, in a set of its own. A
/// connection that is gone, or closed (TCP's TIME_WAIT and CLOSE), leaves its list within a second,
/// and an address without one leaves the set. For [`Most::New`] it keeps a token bucket, for half
/// a minute after the last connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The name of the set. Quotas of one name must be the same.
    pub set: &'static str,
    /// Whose connections are counted together.
    pub subject: Subject,
    /// How many of them there can be at a time. If there are more, those beyond have no limit.
    pub subjects: u32,
    /// The limit.
    pub most: Most,
}

/// Whose connections a [`Quota`] counts together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Those of an IPv4 source.
    SourceV4,
    /// Those of an IPv6 source.
    SourceV6,
    /// Those of an IPv4 source to one destination.
    PairV4,
    /// Those of an IPv6 source to one destination.
    PairV6,
    /// Those to an IPv4 destination.
    DestinationV4,
}

/// The limit of a [`Quota`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Most {
    /// Connections that are open at a time.
    Open(u32),
    /// Connections that begin.
    New {
        /// In the long run.
        per_second: u32,
        /// At once, after a rest.
        burst: u32,
    },
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The packet continues.
    Accept,
    /// The packet is dropped.
    Drop,
    /// The packet is dropped, and its sender is told that this is prohibited (ICMP type 3 code 13,
    /// ICMPv6 type 1 code 1).
    Prohibit,
    /// The kernel keeps no connection for the packet. The next rule is evaluated.
    NoTrack,
    /// The packet leaves with the interface's address and a source port of the range.
    Masquerade(Option<RangeInclusive<u16>>),
    /// The packet leaves with this address and a source port of the range.
    SourceNat(IpAddr, Option<RangeInclusive<u16>>),
    /// The packet leaves with the address at the same place in this prefix.
    SourcePrefix(Ipv4Addr, u8),
    /// The packet goes to the address at the same place in this prefix.
    DestinationPrefix(Ipv4Addr, u8),
}

/// Installs `table` in place of the table of that name, if there is one: all of it or nothing.
///
/// # Errors
/// The right (CAP_NET_ADMIN) is missing, or the kernel refuses a part. The old table stays then.
pub fn install(table: &Table) -> io::Result<()> {
    socket::transact(&message::replace(table))
}
