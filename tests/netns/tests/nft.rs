//! Rulesets over netlink, with Debian's `nft` as the judge of what the kernel understood.

use std::net::IpAddr;

use mayfly_netns::Namespace;
use mayfly_sys::nft::{
    self, Action, Chain, Hook, Kind, Match, Most, Policy, Quota, Rule, Subject, Table,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn rule(when: Vec<Match>, then: Action) -> Rule {
    Rule { when, then }
}

fn chain(name: &'static str, kind: Kind, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain {
        name,
        kind,
        hook,
        priority,
        policy: Policy::Accept,
        rules,
    }
}

fn table(chains: Vec<Chain>) -> Table {
    Table { name: "t", chains }
}

fn filter(rules: Vec<Rule>) -> Table {
    table(vec![chain("c", Kind::Filter, Hook::Input, 0, rules)])
}

/// The rules of the one chain, as `nft` prints them.
fn understood(namespace: &Namespace) -> Vec<String> {
    let text = namespace.run("nft list ruleset");
    let mut rules = text.lines().map(str::trim);
    rules.find(|line| line.contains(" hook ")).unwrap();
    let rules: Vec<_> = rules.take_while(|line| *line != "}").collect();
    rules.into_iter().map(str::to_owned).collect()
}

fn install(namespace: &Namespace, table: &Table) -> std::io::Result<()> {
    namespace.within(|| nft::install(table))
}

#[test]
fn the_kernel_understands_every_match() {
    let namespace = Namespace::new("nft");
    let rows = [
        (vec![Match::From("eth0".into())], "iifname \"eth0\""),
        (
            vec![Match::Source(ip("192.0.2.0"), 24)],
            "ip saddr 192.0.2.0/24",
        ),
        (
            vec![Match::Source(ip("100.64.0.0"), 10)],
            "ip saddr 100.64.0.0/10",
        ),
        (
            vec![Match::Destination(ip("192.0.2.1"), 32)],
            "ip daddr 192.0.2.1",
        ),
        (
            vec![Match::Source(ip("2001:db8::"), 33)],
            "ip6 saddr 2001:db8::/33",
        ),
        (
            vec![Match::Destination(ip("2001:db8::1"), 128)],
            "ip6 daddr 2001:db8::1",
        ),
        (
            vec![Match::DestinationBeyond(ip("2000::"), 3)],
            "ip6 daddr != 2000::/3",
        ),
        (
            vec![Match::Udp, Match::DestinationPorts(1024..=4095)],
            "udp dport 1024-4095",
        ),
        (
            vec![Match::Tcp, Match::DestinationPort(443)],
            "tcp dport 443",
        ),
        (vec![Match::Udp, Match::SourcePort(67)], "udp sport 67"),
        (vec![Match::ToThisMachine], "fib daddr type local"),
        (vec![Match::Icmp(8)], "icmp type echo-request"),
        (vec![Match::Icmpv6(135)], "icmpv6 type nd-neighbor-solicit"),
        (vec![Match::Established], "ct state established,related"),
        (vec![Match::Invalid], "ct state invalid"),
    ];
    let rules = rows
        .iter()
        .map(|(when, _)| rule(when.clone(), Action::Accept));
    install(&namespace, &filter(rules.collect())).unwrap();
    let expected: Vec<_> = rows
        .iter()
        .map(|(_, text)| format!("{text} accept"))
        .collect();
    assert_eq!(understood(&namespace), expected);
}

#[test]
fn the_kernel_understands_every_quota() {
    let namespace = Namespace::new("nft");
    let open = Most::Open(512);
    let new = Most::New {
        per_second: 64,
        burst: 1024,
    };
    let rows = [
        (Subject::SourceV4, open, "ip saddr ct count over 512"),
        (Subject::SourceV6, open, "ip6 saddr ct count over 512"),
        (Subject::DestinationV4, open, "ip daddr ct count over 512"),
        (
            Subject::PairV4,
            open,
            "ip saddr . ip daddr ct count over 512",
        ),
        (
            Subject::PairV6,
            open,
            "ip6 saddr . ip6 daddr ct count over 512",
        ),
        (
            Subject::SourceV4,
            new,
            "ip saddr timeout 30s limit rate over 64/second burst 1024 packets",
        ),
    ];
    for (subject, most, text) in rows {
        let quota = Quota {
            set: "s",
            subject,
            subjects: 1000,
            most,
        };
        let rules = vec![rule(vec![Match::Exceeds(quota)], Action::Drop)];
        install(&namespace, &filter(rules)).expect(text);
        let [rule] = understood(&namespace).try_into().unwrap();
        assert!(rule.contains(text), "{rule}");
        let set = namespace.run("nft list set inet t s");
        assert!(set.contains("size 1000"), "{set}");
    }
}

#[test]
fn the_kernel_understands_every_verdict_of_a_filter() {
    let namespace = Namespace::new("nft");
    let rules = vec![
        rule(vec![], Action::Accept),
        rule(vec![], Action::Drop),
        rule(vec![], Action::Prohibit),
    ];
    install(&namespace, &filter(rules)).unwrap();
    assert_eq!(
        understood(&namespace),
        ["accept", "drop", "reject with icmpx admin-prohibited"]
    );
    let untracked = vec![rule(vec![], Action::NoTrack)];
    let raw = chain("c", Kind::Filter, Hook::Prerouting, -300, untracked);
    install(&namespace, &table(vec![raw])).unwrap();
    assert_eq!(understood(&namespace), ["notrack"]);
}

#[test]
fn the_kernel_understands_every_translation() {
    let namespace = Namespace::new("nft");
    let egress = ip("192.0.2.9");
    let v4 = Match::Source(ip("10.64.0.0"), 16);
    let rules = vec![
        rule(vec![], Action::Masquerade(None)),
        rule(vec![Match::Udp], Action::Masquerade(Some(1024..=51_819))),
        rule(vec![v4.clone()], Action::SourceNat(egress, None)),
        rule(
            vec![v4.clone(), Match::Udp],
            Action::SourceNat(egress, Some(1024..=51_819)),
        ),
        rule(
            vec![Match::Source(ip("fd00::"), 64), Match::Tcp],
            Action::SourceNat(ip("2001:db8::9"), Some(4096..=51_819)),
        ),
        rule(
            vec![v4],
            Action::SourcePrefix("198.51.100.16".parse().unwrap(), 28),
        ),
    ];
    let nat = chain("c", Kind::Nat, Hook::Postrouting, 100, rules);
    install(&namespace, &table(vec![nat])).unwrap();
    assert_eq!(
        understood(&namespace),
        [
            "masquerade",
            "meta l4proto udp masquerade to :1024-51819",
            "ip saddr 10.64.0.0/16 snat ip to 192.0.2.9",
            "ip saddr 10.64.0.0/16 meta l4proto udp snat ip to 192.0.2.9:1024-51819",
            "ip6 saddr fd00::/64 meta l4proto tcp snat ip6 to [2001:db8::9]:4096-51819",
            "ip saddr 10.64.0.0/16 snat ip prefix to 198.51.100.16/28",
        ]
    );
}

#[test]
fn an_install_replaces_what_was_there() {
    let namespace = Namespace::new("nft");
    for action in [Action::Accept, Action::Drop] {
        install(&namespace, &filter(vec![rule(vec![], action)])).unwrap();
    }
    assert_eq!(understood(&namespace), ["drop"]);
}

#[test]
fn a_part_that_the_kernel_does_not_take_changes_nothing() {
    let namespace = Namespace::new("nft");
    install(&namespace, &filter(vec![rule(vec![], Action::Accept)])).unwrap();
    // There is no translation of sources where packets come in.
    let wrong = chain(
        "c",
        Kind::Nat,
        Hook::Prerouting,
        0,
        vec![rule(vec![], Action::Masquerade(None))],
    );
    install(&namespace, &table(vec![wrong])).unwrap_err();
    assert_eq!(understood(&namespace), ["accept"]);
}
