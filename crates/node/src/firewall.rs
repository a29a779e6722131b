//! The firewall: one static ruleset, made from the settings and from what the machine has.
//!
//! No rule is about a single peer. Each class of peer has a pool, and the rules are about pools. A
//! packet that no rule names is dropped. A peer that sends what it may not is told "prohibited".
//!
//! ```text
//!            arrive (raw)  dnat            forward                    snat   guard
//!   uplink ------+----------+------------- invalid, known, pools -------+------+--- uplink, TUN
//!   TUN    ------+          |              shares, closed, pools
//!                +----------+--- input --- the node --- output, depart (raw)
//! ```
//!
//! Connection tracking is for peers' traffic alone. The node's own traffic (WireGuard's datagrams,
//! enrolment, the counter stream, health, DHCP, answers to pings) is not tracked: it takes nothing
//! from the table, nothing of the table can reach it, and no address of a client stays behind.
//!
//! No packet with an inner source leaves by the uplink, whatever connection tracking made of it:
//! the last chain drops it.

mod closed;
mod ports;
mod shares;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use mayfly_sys::nft::{Action, Chain, Hook, Kind, Match, Policy, Rule, Table};
use mayfly_wire::enrol::Cidr;

use crate::settings::{InnerPrefix, Settings};
use closed::GLOBAL_IPV6;
pub use ports::OWN;
use shares::Shares;

/// RFC 792: destination unreachable, echo request, time exceeded, parameter problem.
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
const ICMP_ECHO: u8 = 8;
const ICMP_ECHO_REPLY: u8 = 0;
/// RFC 4443: the four errors, echo request, echo reply.
const ICMPV6_ERRORS: [u8; 4] = [1, 2, 3, 4];
const ICMPV6_ECHO: u8 = 128;
const ICMPV6_ECHO_REPLY: u8 = 129;
/// Packet too big, about WireGuard's datagrams.
const ICMPV6_TOO_BIG: u8 = 2;
/// RFC 4861: router and neighbour, solicitation and advertisement.
const NEIGHBOUR_DISCOVERY: [u8; 4] = [133, 134, 135, 136];

const SMTP: u16 = 25;
const DNS: u16 = 53;
/// DHCP (RFC 2131 section 4.1): from the server's port to the client's, and back.
const LEASE_IN: [Match; 3] = [
    Match::Udp,
    Match::SourcePort(67),
    Match::DestinationPort(68),
];
const LEASE_OUT: [Match; 3] = [
    Match::Udp,
    Match::SourcePort(68),
    Match::DestinationPort(67),
];

/// Where PID 1 sends the number of what failed (`initramfs/init/src/beacon.rs`), also after the
/// daemon has ended.
const BEACON: u16 = 9181;

/// linux/netfilter_ipv4.h: before connection tracking, the usual priorities, and after the last
/// translation.
const RAW: i32 = -300;
const DESTINATION_NAT: i32 = -100;
const FILTER: i32 = 0;
const SOURCE_NAT: i32 = 100;
const LAST: i32 = 300;

/// What a machine has that its settings do not say.
#[derive(Clone)]
pub struct Surroundings<'a> {
    /// The TUN device.
    pub tun: &'a str,
    /// The addresses of the uplink, each with the prefix that is on the link with it.
    pub uplink: Vec<Cidr>,
    /// Hosts that helped to boot the machine.
    pub boot_hosts: Vec<IpAddr>,
    /// How many connections the kernel tracks at most.
    pub table: u32,
}

/// The ruleset of a node.
pub fn ruleset(settings: &Settings, around: &Surroundings<'_>) -> Table {
    let parts = Parts { settings, around };
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
    let (inwards, outwards) = (parts.inwards(), parts.outwards());
    let chains = vec![
        chain("arrive", Filter, Prerouting, RAW, Accept, parts.arrive()),
        chain("depart", Filter, Output, RAW, Accept, parts.depart()),
        chain("input", Filter, Input, FILTER, Drop, parts.input()),
        chain("forward", Filter, Forward, FILTER, Drop, parts.forward()),
        chain("output", Filter, Output, FILTER, Drop, parts.output()),
        chain("dnat", Nat, Prerouting, DESTINATION_NAT, Accept, inwards),
        chain("snat", Nat, Postrouting, SOURCE_NAT, Accept, outwards),
        chain("guard", Filter, Postrouting, LAST, Accept, parts.guard()),
    ];
    Table {
        name: "mayfly",
        chains,
    }
}

/// The address by which peers' IPv4 or IPv6 leaves: the one of the settings, or otherwise the
/// uplink's first that is neither an endpoint of WireGuard nor an egress of another pool. Errors
/// about a customer's packets (RFC 792, RFC 4443) then never name the endpoint, so that no router
/// takes a customer's path for the path of everybody. `None` if there is no such address: customers
/// then share the endpoint's.
pub fn egress(settings: &Settings, uplink: &[Cidr], of: fn(&IpAddr) -> bool) -> Option<IpAddr> {
    let chosen = settings
        .uplink
        .egress
        .iter()
        .map(|egress| *egress.get_ref());
    let streaming = settings.pools.streaming.iter();
    let streaming = streaming.filter_map(|pool| pool.egress.as_ref());
    let streaming: Vec<IpAddr> = streaming.map(|egress| (*egress.get_ref()).into()).collect();
    let endpoints = settings.wireguard.addresses.get_ref();
    let spare = uplink.iter().map(|own| own.address);
    let spare = spare.filter(|own| !endpoints.contains(own) && !streaming.contains(own));
    chosen.chain(spare).find(of)
}

struct Parts<'a> {
    settings: &'a Settings,
    around: &'a Surroundings<'a>,
}

impl Parts<'_> {
    /// Packets that arrive. None from outside may have an inner source. What is for the node itself
    /// is not tracked; what is for a peer's public address is never for the node.
    fn arrive(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        for pool in self.pools() {
            rules.push(rule([self.by_uplink()], [source(pool)], Action::Drop));
        }
        if let Some(public) = &self.settings.pools.public {
            let to_peers = [destination(*public.outer.get_ref())];
            rules.push(rule([self.by_uplink()], to_peers, Action::Accept));
        }
        let health = self.health();
        let untracked = [
            vec![self.by_uplink(), Match::Udp, self.to_wireguard()],
            vec![Match::Tcp, self.to_enrolment(), Match::ToThisMachine],
            vec![
                self.by_uplink(),
                health[0].clone(),
                Match::Tcp,
                health[1].clone(),
            ],
            [vec![self.by_uplink()], LEASE_IN.into()].concat(),
            vec![Match::Icmp(ICMP_ECHO), Match::ToThisMachine],
            vec![Match::Icmpv6(ICMPV6_ECHO), Match::ToThisMachine],
        ];
        rules.extend(
            untracked
                .into_iter()
                .chain(self.answers_of_accounts())
                .map(not_tracked),
        );
        rules
    }

    /// Packets that the node makes are not tracked, errors excepted. Those about a peer's packets
    /// are translated as the peer's connection is, and so is the packet that they quote.
    fn depart(&self) -> Vec<Rule> {
        let mut rules = errors();
        rules.push(not_tracked(Vec::new()));
        rules
    }

    /// Packets to the node itself. It tracks no connections of its own, so each is named. An error
    /// about a packet that is not tracked is "invalid" to connection tracking: the one that the
    /// node needs is named, too.
    fn input(&self) -> Vec<Rule> {
        let mut rules = vec![
            accept([Match::From("lo".to_owned())]),
            accept([self.by_uplink(), Match::Udp, self.to_wireguard()]),
            accept([Match::Tcp, self.to_enrolment()]),
            accept([Match::Icmp(ICMP_ECHO)]),
            accept([Match::Icmpv6(ICMPV6_ECHO)]),
        ];
        for monitor in &self.settings.operator.monitors {
            let [host, port] = self.health();
            let monitor = source(*monitor.get_ref());
            rules.push(accept([self.by_uplink(), monitor, host, Match::Tcp, port]));
        }
        for answers in self.answers_of_accounts() {
            rules.push(rule([], answers, Action::Accept));
        }
        rules.push(rule([self.by_uplink()], LEASE_IN, Action::Accept));
        for kind in NEIGHBOUR_DISCOVERY.into_iter().chain([ICMPV6_TOO_BIG]) {
            rules.push(accept([self.by_uplink(), Match::Icmpv6(kind)]));
        }
        rules.push(rule([self.by_tun()], [], Action::Prohibit));
        rules
    }

    /// Packets between peers and the internet, and never between peers.
    fn forward(&self) -> Vec<Rule> {
        let mut rules = vec![
            rule([], [Match::Invalid], Action::Drop),
            accept([Match::Established]),
            self.prohibit(Match::To(self.around.tun.to_owned())),
        ];
        let shares = Shares {
            table: self.around.table,
        };
        for quota in shares.of_peers() {
            rules.push(self.prohibit(Match::Exceeds(quota)));
        }
        for (host, port) in self.open() {
            for protocol in [Match::Udp, Match::Tcp] {
                let open = [host.clone(), protocol, Match::DestinationPort(port)];
                rules.push(rule([self.by_tun()], open, Action::Accept));
            }
        }
        let beyond = Match::DestinationBeyond(GLOBAL_IPV6.address, GLOBAL_IPV6.prefix);
        rules.push(self.prohibit(beyond));
        for closed in self.closed() {
            rules.push(self.prohibit(destination(closed)));
        }
        let mail = [Match::Tcp, Match::DestinationPort(SMTP)];
        rules.push(rule([self.by_tun()], mail, Action::Prohibit));
        for pool in self.pools() {
            let out = [self.to_uplink(), source(pool)];
            rules.push(rule([self.by_tun()], out, Action::Accept));
        }
        if let Some(public) = &self.settings.pools.public {
            let inner = destination(*public.inner.get_ref());
            let into = [
                self.by_uplink(),
                Match::To(self.around.tun.to_owned()),
                inner,
            ];
            let too_many = [Match::Exceeds(shares.to_public())];
            rules.push(rule(into.clone(), too_many, Action::Drop));
            rules.push(accept(into));
        }
        rules.push(rule([self.by_tun()], [], Action::Prohibit));
        rules
    }

    /// Packets from the node itself: what its work needs, and nothing that could carry a log away.
    fn output(&self) -> Vec<Rule> {
        let wireguard = Match::SourcePort(self.settings.wireguard.port.get());
        let enrolment = Match::SourcePort(self.settings.enrolment.port.get());
        let mut rules = vec![
            accept([Match::To("lo".to_owned())]),
            accept([self.to_uplink(), Match::Udp, wireguard]),
            // Only the socket that listens on this port can send from it.
            accept([Match::Tcp, enrolment]),
        ];
        let health = *self.settings.operator.healthz.get_ref();
        for monitor in &self.settings.operator.monitors {
            let answer = [Match::Tcp, Match::SourcePort(health.port())];
            let monitor = destination(*monitor.get_ref());
            rules.push(rule([self.to_uplink(), monitor], answer, Action::Accept));
        }
        for accounts in self.settings.accounts.addresses() {
            let to = [host(accounts.ip()), Match::Tcp];
            let port = [Match::DestinationPort(accounts.port())];
            rules.push(rule(to, port, Action::Accept));
        }
        rules.push(rule([self.to_uplink()], LEASE_OUT, Action::Accept));
        for &boot_host in &self.around.boot_hosts {
            let number = [Match::Udp, Match::DestinationPort(BEACON)];
            rules.push(rule(
                [self.to_uplink(), host(boot_host)],
                number,
                Action::Accept,
            ));
        }
        let echoed = [
            Match::Icmp(ICMP_ECHO_REPLY),
            Match::Icmpv6(ICMPV6_ECHO_REPLY),
        ];
        rules.extend(echoed.map(|echoed| accept([echoed])));
        rules.extend(errors());
        for kind in NEIGHBOUR_DISCOVERY {
            rules.push(accept([self.to_uplink(), Match::Icmpv6(kind)]));
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

    /// Translates inner addresses to those that the internet sees.
    fn outwards(&self) -> Vec<Rule> {
        let mut rules = Vec::new();
        if let Some(public) = &self.settings.pools.public
            && let Some((outer, bits)) = v4(*public.outer.get_ref())
        {
            let from_inner = [source(*public.inner.get_ref())];
            let to_outer = Action::SourcePrefix(outer, bits);
            rules.push(rule([self.to_uplink()], from_inner, to_outer));
        }
        if let Some(streaming) = &self.settings.pools.streaming
            && let Some(egress) = &streaming.egress
        {
            let egress = Some(IpAddr::V4(*egress.get_ref()));
            rules.extend(self.leave_by(*streaming.ipv4.get_ref(), egress));
        }
        let uplink = &self.around.uplink;
        let ipv4 = egress(self.settings, uplink, IpAddr::is_ipv4);
        let ipv6 = egress(self.settings, uplink, IpAddr::is_ipv6);
        for pool in self.pools() {
            let egress = if pool.address.is_ipv4() { ipv4 } else { ipv6 };
            rules.extend(self.leave_by(pool, egress));
        }
        rules
    }

    /// Translates a pool's sources to an address, or otherwise to the uplink's own: with ports that
    /// are customers' alone, where there are ports.
    fn leave_by(&self, pool: Cidr, egress: Option<IpAddr>) -> [Rule; 3] {
        let then = |ports: Option<RangeInclusive<u16>>| match egress {
            Some(egress) => Action::SourceNat(egress, ports),
            None => Action::Masquerade(ports),
        };
        let ports = ports::of_customers(self.settings);
        let out = || [self.to_uplink(), source(pool)];
        [
            rule(out(), [Match::Tcp], then(Some(ports.clone()))),
            rule(out(), [Match::Udp], then(Some(ports))),
            rule(out(), [], then(None)),
        ]
    }

    /// The last look at what leaves: no inner address on the uplink.
    fn guard(&self) -> Vec<Rule> {
        let inner = |pool| rule([self.to_uplink()], [source(pool)], Action::Drop);
        self.pools().into_iter().map(inner).collect()
    }

    /// Where peers may go although it may be closed: to the resolvers that they are told of, and to
    /// the account service, for tokens.
    fn open(&self) -> Vec<(Match, u16)> {
        let resolvers = self.settings.dns.iter();
        let resolvers = resolvers.map(|&resolver| (host(resolver), DNS));
        let accounts = self.settings.accounts.addresses().into_iter();
        let accounts = accounts.map(|accounts| (host(accounts.ip()), accounts.port()));
        resolvers.chain(accounts).collect()
    }

    /// Where no peer may go: what is not the internet; what is on the link with the node, which has
    /// only the router's way there; and the hosts that serve the node, which trust its address.
    fn closed(&self) -> Vec<Cidr> {
        let operator = &self.settings.operator;
        let named = operator.closed.iter().chain(&operator.monitors);
        let on_link = self.around.uplink.iter().copied();
        let hosts = self.settings.accounts.addresses().into_iter();
        let hosts = hosts.map(|accounts| accounts.ip());
        let hosts = hosts.chain(self.around.boot_hosts.iter().copied());
        closed::prefixes()
            .chain(on_link)
            .chain(named.map(|prefix| *prefix.get_ref()))
            .chain(hosts.map(Cidr::host))
            .collect()
    }

    /// Segments from the account service to the node's own connections, by whatever link it is on.
    /// No peer can have its address.
    fn answers_of_accounts(&self) -> Vec<Vec<Match>> {
        let addresses = self.settings.accounts.addresses().into_iter();
        let answers = addresses.map(|accounts| {
            let from = source(Cidr::host(accounts.ip()));
            let port = Match::SourcePort(accounts.port());
            let to_own = Match::DestinationPorts(OWN);
            vec![from, Match::Tcp, port, to_own]
        });
        answers.collect()
    }

    /// The address and the port at which health is told.
    fn health(&self) -> [Match; 2] {
        let health = *self.settings.operator.healthz.get_ref();
        [host(health.ip()), Match::DestinationPort(health.port())]
    }

    fn to_wireguard(&self) -> Match {
        Match::DestinationPort(self.settings.wireguard.port.get())
    }

    fn to_enrolment(&self) -> Match {
        Match::DestinationPort(self.settings.enrolment.port.get())
    }

    fn pools(&self) -> Vec<Cidr> {
        let prefixes = self.settings.inner_prefixes();
        prefixes.iter().map(InnerPrefix::cidr).collect()
    }

    fn prohibit(&self, what: Match) -> Rule {
        rule([self.by_tun()], [what], Action::Prohibit)
    }

    fn by_uplink(&self) -> Match {
        Match::From(self.settings.uplink.interface.as_str().to_owned())
    }

    fn to_uplink(&self) -> Match {
        Match::To(self.settings.uplink.interface.as_str().to_owned())
    }

    fn by_tun(&self) -> Match {
        Match::From(self.around.tun.to_owned())
    }
}

fn rule<const A: usize>(
    way: [Match; A],
    what: impl IntoIterator<Item = Match>,
    then: Action,
) -> Rule {
    Rule {
        when: way.into_iter().chain(what).collect(),
        then,
    }
}

/// Accepts the errors of both families.
fn errors() -> Vec<Rule> {
    let v4 = ICMP_ERRORS.map(Match::Icmp);
    let v6 = ICMPV6_ERRORS.map(Match::Icmpv6);
    v4.into_iter()
        .chain(v6)
        .map(|kind| accept([kind]))
        .collect()
}

fn not_tracked(what: Vec<Match>) -> Rule {
    rule([], what, Action::NoTrack)
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    const UPLINK: [&str; 4] = [
        "192.0.2.10/24",
        "192.0.2.12/24",
        "2001:db8::10/64",
        "2001:db8::12/64",
    ];

    fn settings(edit: impl Fn(String) -> String) -> Settings {
        let text = edit(include_str!("../example.toml").to_owned());
        Settings::parse("example.toml", &text).unwrap()
    }

    fn table(edit: impl Fn(String) -> String) -> Table {
        let around = Surroundings {
            tun: "tun",
            uplink: UPLINK.map(|own| own.parse().unwrap()).into(),
            boot_hosts: vec!["198.51.100.3".parse().unwrap()],
            table: 1 << 18,
        };
        ruleset(&settings(edit), &around)
    }

    fn chain<'a>(table: &'a Table, name: &str) -> &'a Chain {
        let mut chains = table.chains.iter();
        chains.find(|chain| chain.name == name).unwrap()
    }

    #[test]
    fn what_is_not_named_is_dropped() {
        let table = table(|text| text);
        for name in ["input", "forward", "output"] {
            assert_eq!(chain(&table, name).policy, Policy::Drop);
        }
    }

    #[test]
    fn every_translation_with_ports_keeps_to_those_of_customers() {
        let settings = settings(|text| text);
        let ours = ports::of_customers(&settings);
        for rule in &chain(&table(|text| text), "snat").rules {
            let has_ports = rule.when.contains(&Match::Udp) || rule.when.contains(&Match::Tcp);
            match &rule.then {
                Action::Masquerade(ports) | Action::SourceNat(_, ports) => {
                    assert_eq!(ports.as_ref(), has_ports.then_some(&ours));
                }
                _ => assert!(matches!(rule.then, Action::SourcePrefix(..))),
            }
        }
    }

    #[test]
    fn customers_leave_by_an_address_that_is_no_endpoint_if_there_is_one() {
        let uplink = UPLINK.map(|own| own.parse().unwrap());
        let by = |settings: &Settings, uplink: &[Cidr]| {
            [IpAddr::is_ipv4, IpAddr::is_ipv6].map(|of| egress(settings, uplink, of))
        };
        let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let plain = settings(|text| text);
        let spare = [address("192.0.2.12"), address("2001:db8::12")];
        assert_eq!(by(&plain, &uplink), spare);
        let bare = settings(|text| text.replace(r#"egress = ["192.0.2.12"]"#, ""));
        assert_eq!(by(&bare, &uplink), spare);
        assert_eq!(by(&bare, &uplink[..1]), [None, None]);
        let chosen = settings(|text| {
            text.replace(r#"egress = ["192.0.2.12"]"#, r#"egress = ["192.0.2.13"]"#)
        });
        assert_eq!(by(&chosen, &uplink)[0], address("192.0.2.13"));
    }

    #[test]
    fn only_the_named_leaves_the_node() {
        let table = table(|text| text);
        let output = &chain(&table, "output").rules;
        let udp = output.iter().filter(|rule| rule.when.contains(&Match::Udp));
        assert_eq!(udp.count(), 3, "WireGuard, the lease and the beacon");
        let accounts: SocketAddr = "203.0.113.5:8443".parse().unwrap();
        let to_accounts = |rule: &&Rule| rule.when.contains(&host(accounts.ip()));
        assert_eq!(output.iter().filter(to_accounts).count(), 1);
    }

    #[test]
    fn the_hosts_that_serve_the_node_are_closed() {
        let table = table(|text| text);
        let closed: Vec<_> = chain(&table, "forward")
            .rules
            .iter()
            .filter(|rule| rule.then == Action::Prohibit)
            .flat_map(|rule| &rule.when)
            .collect();
        for text in [
            "198.51.100.3/32",
            "203.0.113.5/32",
            "192.0.2.10/24",
            "203.0.113.64/28",
        ] {
            let prefix = text.parse().unwrap();
            assert!(closed.contains(&&destination(prefix)), "{text}");
        }
    }
}
