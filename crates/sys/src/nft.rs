//! A ruleset as data, installed in one piece (nf_tables over netlink, no program needed).
//!
//! There is one table of ours, in the family `inet`. [`install`] replaces it whole, or
//! leaves everything as it was. What would keep or print something of a packet, a counter
//! or a log, cannot be said.

mod attribute;
mod expression;
mod kernel;
mod message;
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

/// A base chain: rules at a place in a packet's way.
pub struct Chain {
    /// Its name, for `nft list ruleset`.
    pub name: &'static str,
    /// What it may do.
    pub kind: Kind,
    /// Where it is asked.
    pub hook: Hook,
    /// In which order among the chains of a hook; lower is earlier.
    pub priority: i32,
    /// What becomes of a packet that no rule decided.
    pub policy: Policy,
    /// Asked from first to last.
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

/// A place in a packet's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// It has just come.
    Prerouting,
    /// It is for this machine.
    Input,
    /// It passes through.
    Forward,
    /// This machine made it.
    Output,
    /// It is about to leave.
    Postrouting,
}

/// What becomes of a packet that no rule of a chain decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It goes on.
    Accept,
    /// It is gone.
    Drop,
}

/// If all of `when` is so, `then`.
pub struct Rule {
    /// All must hold.
    pub when: Vec<Match>,
    /// What happens.
    pub then: Action,
}

/// Something that a packet is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// Came by an interface.
    From(String),
    /// Leaves by an interface.
    To(String),
    /// Its source is in a prefix.
    Source(IpAddr, u8),
    /// Its destination is in a prefix.
    Destination(IpAddr, u8),
    /// Its destination is an address of this machine.
    ToThisMachine,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// TCP or UDP source port; stands behind `Tcp` or `Udp`.
    SourcePort(u16),
    /// TCP or UDP destination port; stands behind `Tcp` or `Udp`.
    DestinationPort(u16),
    /// ICMP of a type (RFC 792).
    Icmp(u8),
    /// ICMPv6 of a type (RFC 4443).
    Icmpv6(u8),
    /// Belongs to a connection that was accepted, or is an error about one.
    Established,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The packet goes on.
    Accept,
    /// The packet is gone.
    Drop,
    /// The packet is gone, and its sender is told that this is prohibited (ICMP type 3 code
    /// 13, ICMPv6 type 1 code 1).
    Prohibit,
    /// The kernel keeps no connection for it; the next rule is asked.
    NoTrack,
    /// It leaves with the interface's address, and a source port of the range.
    Masquerade(Option<RangeInclusive<u16>>),
    /// It leaves with an address, and a source port of the range.
    SourceNat(Ipv4Addr, Option<RangeInclusive<u16>>),
    /// It leaves with the address of the same place in a prefix.
    SourcePrefix(Ipv4Addr, u8),
    /// It goes to the address of the same place in a prefix.
    DestinationPrefix(Ipv4Addr, u8),
}

/// Puts `table` in the place of the one of that name, if there is one: all of it or nothing.
///
/// # Errors
/// No right (CAP_NET_ADMIN), or the kernel does not take a part; the old table stands then.
pub fn install(table: &Table) -> io::Result<()> {
    socket::transact(&message::replace(table))
}
