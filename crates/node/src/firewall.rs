//! The firewall: one static ruleset, made from the settings.
//!
//! No rule is about a single peer. Each class of peer has a pool, and the rules are about pools. A
//! packet that no rule names is dropped. A peer that sends what it may not is told "prohibited".

use std::net::IpAddr;
use std::ops::RangeInclusive;

use mayfly_sys::nft::{Action, Chain, Hook, Kind, Match, Policy, Rule, Table};
use mayfly_wire::enrol::Cidr;

use crate::settings::{InnerPrefix, Settings, Streaming};

/// Destinations that no peer may reach: this network, private, shared, loopback, link-local and
/// metadata, protocol assignments, benchmarking, multicast and reserved addresses (RFC 6890), and
/// the ways to write an IPv4 address as IPv6.
const CLOSED_V4: [&str; 12] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];
const CLOSED_V6: [&str; 7] = [
    "::/96",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
];

/// RFC 792: destination unreachable, echo request, time exceeded, parameter problem.
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
const ICMP_ECHO: u8 = 8;
/// RFC 4443: the four errors, echo request.
const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];
const ICMPV6_ECHO: u8 = 128;
/// Packet too big. It has a rule of its own, because the packets that it is about are not tracked,
/// so that it belongs to no known connection.
const ICMPV6_TOO_BIG: u8 = 2;
/// RFC 4861: router and neighbour, solicitation and advertisement.
const NEIGHBOUR_DISCOVERY: [u8; 4] = [133, 134, 135, 136];

const SMTP: u16 = 25;
const DNS: u16 = 53;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// linux/netfilter_ipv4.h: before connection tracking, and the usual priorities.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;

/// The ruleset of a node whose TUN device is `tun`.
pub fn ruleset(settings: &Settings, tun: &str) -> Table {
    let parts = Parts { settings, tun };
    let chain = |name, kind, hook, priority, policy, rules| Chain {
        name,
        kind,
        hook,
        priority,
        policy,
        rules,
    };
    use Hook::{Forward, Input, Output, Postrouting, Prerouting};
    use Kind::{Filter, Nat};
    use Policy::{Accept, Drop};
    let chains = vec![
        chain("arrive", Filter, Prerouting, RAW, Accept, parts.arrive()),
        chain("depart", Filter, Output, RAW, Accept, parts.depart()),
        chain("input", Filter, Input, FILTER, Drop, parts.input()),
        chain("forward", Filter, Forward, FILTER, Drop, parts.forward()),
        chain("output", Filter, Output, FILTER, Drop, parts.output()),
        chain(
            "dnat",
            Nat,
            Prerouting,
            DESTINATION_NAT,
            Accept,
            parts.inwards(),
        ),
        chain(
            "snat",
            Nat,
            Postrouting,
            SOURCE_NAT,
            Accept,
            parts.outwards(),
        ),
    ];
    Table {
        name: "mayfly",
        chains,
    }
}

struct Parts<'a> {
    settings: &'a Settings,
    tun: &'a str,
}

impl Parts<'_> {
    /// Packets that arrive. WireGuard's datagrams are not tracked as connections, nor are enrolment
    /// connections tracked: the customer's address would stay for two minutes after the end. No
    /// packet from outside may have an inner source.
    fn arrive(&self) -> Vec<Rule> {
        let datagrams = [Match::Udp, Match::DestinationPort(self.wireguard())];
        let enrolment = [
            Match::Tcp,
            Match::DestinationPort(self.enrolment()),
            Match::ToThisMachine,
        ];
        let mut rules = vec![
            rule([self.by_uplink()], datagrams, Action::NoTrack),
            rule([], enrolment, Action::NoTrack),
        ];
        for pool in self.pools() {
            rules.push(rule([self.by_uplink()], [source(pool)], Action::Drop));
        }
        rules
    }

    /// Packets that the node makes: WireGuard's datagrams and enrolment's answers are not tracked.
    fn depart(&self) -> Vec<Rule> {
        let datagrams = [Match::Udp, Match::SourcePort(self.wireguard())];
        let enrolment = [Match::Tcp, Match::SourcePort(self.enrolment())];
        vec![
            rule([], datagrams, Action::NoTrack),
            rule([], enrolment, Action::NoTrack),
        ]
    }

    /// Packets to the node itself.
    fn input(&self) -> Vec<Rule> {
        let mut rules = vec![
            accept([Match::Established]),
            accept([Match::From("lo".to_owned())]),
            accept([Match::Udp, Match::DestinationPort(self.wireguard())]),
            accept([Match::Tcp, Match::DestinationPort(self.enrolment())]),
            accept([Match::Icmp(ICMP_ECHO)]),
            accept([Match::Icmpv6(ICMPV6_ECHO)]),
        ];
        let health = *self.settings.operator.healthz.get_ref();
        let to_health = [
            host(health.ip()),
            Match::Tcp,
            Match::DestinationPort(health.port()),
        ];
        rules.push(rule([self.by_uplink()], to_health, Action::Accept));
        let lease = [
            Match::Udp,
            Match::SourcePort(DHCP_SERVER),
            Match::DestinationPort(DHCP_CLIENT),
        ];
        rules.push(rule([self.by_uplink()], lease, Action::Accept));
        for kind in NEIGHBOUR_DISCOVERY.into_iter().chain([ICMPV6_TOO_BIG]) {
            rules.push(rule(
                [self.by_uplink()],
                [Match::Icmpv6(kind)],
                Action::Accept,
            ));
        }
        rules.push(rule([self.by_tun()], [], Action::Prohibit));
        rules
    }

    /// Packets between peers and the internet, and never between peers.
    fn forward(&self) -> Vec<Rule> {
        let mut rules = vec![
            accept([Match::Established]),
            rule(
                [self.by_tun()],
                [Match::To(self.tun.to_owned())],
                Action::Prohibit,
            ),
        ];
        for &resolver in &self.settings.dns {
            for protocol in [Match::Udp, Match::Tcp] {
                let question = [host(resolver), protocol, Match::DestinationPort(DNS)];
                rules.push(rule([self.by_tun()], question, Action::Accept));
            }
        }
        for closed in closed() {
            rules.push(rule(
                [self.by_tun()],
                [destination(closed)],
                Action::Prohibit,
            ));
        }
        let mail = [Match::Tcp, Match::DestinationPort(SMTP)];
        rules.push(rule([self.by_tun()], mail, Action::Prohibit));
        for pool in self.pools() {
            let out = [self.to_uplink(), source(pool)];
            rules.push(rule([self.by_tun()], out, Action::Accept));
        }
        if let Some(public) = &self.settings.pools.public {
            let inner = destination(*public.inner.get_ref());
            let into = [Match::To(self.tun.to_owned()), inner];
            rules.push(rule([self.by_uplink()], into, Action::Accept));
        }
        rules.push(rule([self.by_tun()], [], Action::Prohibit));
        rules
    }

    /// Packets from the node itself: what its work needs, and nothing that could carry a log away.
    fn output(&self) -> Vec<Rule> {
        let mut rules = vec![
            accept([Match::Established]),
            accept([Match::To("lo".to_owned())]),
            accept([Match::Udp, Match::SourcePort(self.wireguard())]),
            // Only the socket that listens on this port can send from it.
            accept([Match::Tcp, Match::SourcePort(self.enrolment())]),
        ];
        for accounts in self.settings.accounts.addresses() {
            let to = [host(accounts.ip()), Match::Tcp];
            rules.push(rule(
                to,
                [Match::DestinationPort(accounts.port())],
                Action::Accept,
            ));
        }
        let lease = [
            Match::Udp,
            Match::SourcePort(DHCP_CLIENT),
            Match::DestinationPort(DHCP_SERVER),
        ];
        rules.push(rule([self.to_uplink()], lease, Action::Accept));
        rules.extend(ICMP_ERRORS.map(|kind| accept([Match::Icmp(kind)])));
        rules.extend(ICMPV6_ERRORS.map(|kind| accept([Match::Icmpv6(kind)])));
        for kind in NEIGHBOUR_DISCOVERY {
            rules.push(rule(
                [self.to_uplink()],
                [Match::Icmpv6(kind)],
                Action::Accept,
            ));
        }
        rules
    }

    /// Translates public addresses to the inner ones that they stand for.
    fn inwards(&self) -> Vec<Rule> {
        let Some(public) = &self.settings.pools.public else {
            return Vec::new();
        };
        let Some((inner, bits)) = v4(*public.inner.get_ref()) else {
            return Vec::new();
        };
        let to_outer = [destination(*public.outer.get_ref())];
        let to_inner = Action::DestinationPrefix(inner, bits);
        vec![rule([self.by_uplink()], to_outer, to_inner)]
    }

    /// Translates inner addresses to those that the internet sees. No translation may use
    /// WireGuard's port: packets to it are not tracked, so that answers would not find their way
    /// back.
    fn outwards(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        if let Some(public) = &self.settings.pools.public
            && let Some((outer, bits)) = v4(*public.outer.get_ref())
        {
            let from_inner = [source(*public.inner.get_ref())];
            let to_outer = Action::SourcePrefix(outer, bits);
            rules.push(rule([self.to_uplink()], from_inner, to_outer));
        }
        if let Some(streaming) = &self.settings.pools.streaming {
            rules.extend(self.streaming(streaming));
        }
        for pool in self.pools() {
            let (udp, other) = (
                Action::Masquerade(Some(self.ports())),
                Action::Masquerade(None),
            );
            rules.push(rule([self.to_uplink()], [source(pool), Match::Udp], udp));
            rules.push(rule([self.to_uplink()], [source(pool)], other));
        }
        rules
    }

    /// Translates the streaming pool to its own egress address, if it has one.
    fn streaming(&self, streaming: &Streaming) -> Vec<Rule> {
        let Some(egress) = &streaming.egress else {
            return Vec::new();
        };
        let (egress, pool) = (*egress.get_ref(), *streaming.ipv4.get_ref());
        let udp = Action::SourceNat(egress, Some(self.ports()));
        let other = Action::SourceNat(egress, None);
        vec![
            rule([self.to_uplink()], [source(pool), Match::Udp], udp),
            rule([self.to_uplink()], [source(pool)], other),
        ]
    }

    fn wireguard(&self) -> u16 {
        self.settings.wireguard.port.get()
    }

    fn enrolment(&self) -> u16 {
        self.settings.enrolment.port.get()
    }

    /// The longer range of unprivileged ports on one side of WireGuard's.
    fn ports(&self) -> RangeInclusive<u16> {
        let port = self.wireguard();
        if port > 33_000 {
            1_024..=port - 1
        } else {
            port.saturating_add(1).max(1_024)..=u16::MAX
        }
    }

    fn pools(&self) -> Vec<Cidr> {
        let prefixes = self.settings.inner_prefixes();
        prefixes.iter().map(InnerPrefix::cidr).collect()
    }

    fn by_uplink(&self) -> Match {
        Match::From(self.settings.uplink.interface.as_str().to_owned())
    }

    fn to_uplink(&self) -> Match {
        Match::To(self.settings.uplink.interface.as_str().to_owned())
    }

    fn by_tun(&self) -> Match {
        Match::From(self.tun.to_owned())
    }
}

fn rule<const A: usize, const B: usize>(way: [Match; A], what: [Match; B], then: Action) -> Rule {
    Rule {
        when: way.into_iter().chain(what).collect(),
        then,
    }
}

fn accept<const N: usize>(what: [Match; N]) -> Rule {
    rule([], what, Action::Accept)
}

fn source(prefix: Cidr) -> Match {
    Match::Source(prefix.address, prefix.prefix)
}

fn destination(prefix: Cidr) -> Match {
    Match::Destination(prefix.address, prefix.prefix)
}

fn host(address: IpAddr) -> Match {
    destination(Cidr::host(address))
}

fn v4(prefix: Cidr) -> Option<(std::net::Ipv4Addr, u8)> {
    match prefix.address {
        IpAddr::V4(address) => Some((address, prefix.prefix)),
        IpAddr::V6(_) => None,
    }
}

fn closed() -> impl Iterator<Item = Cidr> {
    let all = CLOSED_V4.iter().chain(&CLOSED_V6);
    all.filter_map(|prefix| prefix.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn table(edit: impl Fn(String) -> String) -> Table {
        let text = edit(include_str!("../example.toml").to_owned());
        ruleset(&Settings::parse("example.toml", &text).unwrap(), "tun")
    }

    fn chain<'a>(table: &'a Table, name: &str) -> &'a Chain {
        table
            .chains
            .iter()
            .find(|chain| chain.name == name)
            .unwrap()
    }

    #[test]
    fn every_closed_prefix_is_one() {
        assert_eq!(closed().count(), CLOSED_V4.len() + CLOSED_V6.len());
    }

    #[test]
    fn what_is_not_named_is_dropped() {
        let table = table(|text| text);
        for name in ["input", "forward", "output"] {
            assert_eq!(chain(&table, name).policy, Policy::Drop);
        }
    }

    #[test]
    fn no_translation_takes_wireguards_port() {
        for port in ["51820", "500", "33001"] {
            let table = table(|text| text.replace("port = 51820", &format!("port = {port}")));
            let port: u16 = port.parse().unwrap();
            for rule in &chain(&table, "snat").rules {
                let ports = match &rule.then {
                    Action::Masquerade(ports) | Action::SourceNat(_, ports) => ports.clone(),
                    _ => continue,
                };
                if rule.when.contains(&Match::Udp) {
                    assert!(!ports.unwrap().contains(&port));
                }
            }
        }
    }

    #[test]
    fn only_the_named_leaves_the_node() {
        let table = table(|text| text);
        let udp: Vec<_> = chain(&table, "output")
            .rules
            .iter()
            .filter(|rule| rule.when.contains(&Match::Udp))
            .collect();
        assert_eq!(udp.len(), 2, "WireGuard and the lease");
        let accounts: SocketAddr = "203.0.113.5:8443".parse().unwrap();
        let to_accounts = |rule: &&Rule| rule.when.contains(&host(accounts.ip()));
        assert_eq!(
            chain(&table, "output")
                .rules
                .iter()
                .filter(to_accounts)
                .count(),
            1
        );
    }
}
