//! The networks that a client's address lies in, for shares of what all clients need.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mayfly_wire::enrol::Cidr;

/// How many networks of different sizes an address lies in.
pub(super) const LEVELS: usize = 3;

/// The networks of an address, the largest first: its /48, /56 and /64, or its /24 and itself. All
/// zero is no network.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Networks {
    /// The address, without the bits that say more than the smallest network.
    address: u128,
    /// The length of each network in bits, an IPv4 network's as if it were mapped into IPv6.
    lengths: [u8; LEVELS],
}

impl Networks {
    /// The networks of a client. `inner` are the prefixes of inner addresses. Behind each of those
    /// is a customer, and all customers' IPv6 addresses are in one /64, so an inner address shares
    /// its network with no other.
    pub(super) fn of(client: IpAddr, inner: &[Cidr]) -> Self {
        let client = client.to_canonical();
        let is_inner = inner.iter().any(|prefix| contains(prefix, client));
        let lengths = match client {
            _ if is_inner => [128; LEVELS],
            IpAddr::V4(_) => [120, 128, 128],
            IpAddr::V6(_) => [48, 56, 64],
        };
        let [.., smallest] = lengths;
        Self {
            address: first(client, smallest.into()),
            lengths,
        }
    }

    /// How many of these networks the other address lies in, too, from the largest.
    pub(super) fn shared(&self, other: &Self) -> usize {
        let equal = (self.address ^ other.address).leading_zeros();
        let [large, middle, small] = self.lengths.map(u32::from);
        usize::from(equal >= large) + usize::from(equal >= middle) + usize::from(equal >= small)
    }
}

/// The first bits of an address. An IPv4 address is the IPv6 address of RFC 4291 section 2.5.5.2.
fn first(address: IpAddr, length: u32) -> u128 {
    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
    bits(address) & mask
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => mapped(address).to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn mapped(address: Ipv4Addr) -> Ipv6Addr {
    address.to_ipv6_mapped()
}

fn contains(prefix: &Cidr, address: IpAddr) -> bool {
    let length = match prefix.address {
        IpAddr::V4(_) => 96 + u32::from(prefix.prefix),
        IpAddr::V6(_) => prefix.prefix.into(),
    };
    prefix.address.is_ipv4() == address.is_ipv4()
        && first(prefix.address, length) == first(address, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(one: &str, other: &str) -> usize {
        let inner = [
            Cidr {
                address: "fd00:64::".parse().unwrap(),
                prefix: 64,
            },
            Cidr {
                address: "10.64.0.0".parse().unwrap(),
                prefix: 16,
            },
        ];
        let of = |address: &str| Networks::of(address.parse().unwrap(), &inner);
        of(one).shared(&of(other))
    }

    #[test]
    fn addresses_share_the_networks_that_hold_both() {
        for (one, other, expected) in [
            ("2001:db8::1", "2001:db8::2", 3),
            ("2001:db8::1", "2001:db8:0:1::1", 2),
            ("2001:db8::1", "2001:db8:0:100::1", 1),
            ("2001:db8::1", "2001:db8:1::1", 0),
            ("192.0.2.1", "192.0.2.2", 1),
            ("192.0.2.1", "192.0.3.1", 0),
            ("::ffff:192.0.2.1", "192.0.2.1", 3),
        ] {
            assert_eq!(shared(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn an_inner_address_shares_its_network_with_no_other() {
        assert_eq!(shared("fd00:64::2", "fd00:64::3"), 0);
        assert_eq!(shared("10.64.0.2", "::ffff:10.64.0.3"), 0);
        assert_eq!(shared("fd00:64::2", "fd00:64::2"), 3);
    }
}
