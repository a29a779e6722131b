//! Where no peer may go.

use std::net::{IpAddr, Ipv6Addr};

use mayfly_wire::enrol::Cidr;

/// Destinations in IPv4 that no peer may reach: this network, private, shared, loopback, link-local
/// and metadata, protocol assignments, 6to4 relays, benchmarking, multicast and reserved addresses
/// (RFC 6890, RFC 7526).
const IPV4: [&str; 13] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
];

/// Of global unicast: Teredo and other protocol assignments (RFC 2928), 6to4 (RFC 3056), and
/// documentation (RFC 9637).
const IPV6: [&str; 3] = ["2001::/23", "2002::/16", "3fff::/20"];

/// Global unicast in IPv6 (RFC 4291 section 2.4). Everything beyond it is closed: private and
/// link-local addresses, multicast, and IPv4 addresses in every form, that of an operator's own
/// NAT64 included (RFC 6052, RFC 8215).
pub(super) const GLOBAL_IPV6: Cidr = Cidr {
    address: IpAddr::V6(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0)),
    prefix: 3,
};

/// The prefixes, beside what lies beyond [`GLOBAL_IPV6`].
pub(super) fn prefixes() -> impl Iterator<Item = Cidr> {
    let all = IPV4.iter().chain(&IPV6);
    all.filter_map(|prefix| prefix.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_closed_prefix_is_one() {
        assert_eq!(prefixes().count(), IPV4.len() + IPV6.len());
    }
}
