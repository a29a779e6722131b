//! Cross-field validation: values that each have the right shape, but do not fit together.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use toml::Spanned;

use mayfly_wire::enrol::Cidr;

use super::error::Wrong;
use super::{Family, InnerPrefix, Settings};

/// Prefix lengths of a pool of IPv4 addresses: for one peer at least and 65,533 at most.
const POOL_IPV4: RangeInclusive<u8> = 16..=30;
/// Prefix lengths of a pool of IPv6 addresses: at least as many addresses as an IPv4 pool has.
const POOL_IPV6: RangeInclusive<u8> = 64..=112;
/// From the lowest MTU of IPv6 (RFC 8200 section 5) to the largest that networks carry.
const MTU: RangeInclusive<u16> = 1280..=9000;
/// Landlock ABIs. 3 is the first that confines truncation, and less is not worth having.
const LANDLOCK_ABI: RangeInclusive<u8> = 3..=8;

impl Settings {
    pub(super) fn check(&self) -> Result<(), Wrong> {
        self.check_prefixes()?;
        self.check_overlaps()?;
        self.check_lists()?;
        self.check_ranges()
    }

    fn check_prefixes(&self) -> Result<(), Wrong> {
        for InnerPrefix {
            field,
            family,
            prefix,
        } in self.inner_prefixes()
        {
            let lengths = match (family, prefix.get_ref().address) {
                (Family::V4, IpAddr::V4(_)) => POOL_IPV4,
                (Family::V6, IpAddr::V6(_)) => POOL_IPV6,
                _ => {
                    return wrong(
                        prefix,
                        format!("{field}: expected the other address family"),
                    );
                }
            };
            check_prefix(field, prefix, lengths)?;
        }
        let Some(public) = &self.pools.public else {
            return Ok(());
        };
        if public.outer.get_ref().prefix != public.inner.get_ref().prefix
            || !public.outer.get_ref().address.is_ipv4()
        {
            let expected =
                "pools.public.outer: expected an IPv4 prefix as long as pools.public.inner";
            return wrong(&public.outer, expected.to_owned());
        }
        check_prefix("pools.public.outer", &public.outer, POOL_IPV4)
    }

    /// Inner prefixes must overlap neither each other nor any outer address.
    fn check_overlaps(&self) -> Result<(), Wrong> {
        let inner = self.inner_prefixes();
        for (index, own) in inner.iter().enumerate() {
            let earlier = inner.iter().take(index);
            let earlier = earlier.map(|other| (other.field, other.cidr()));
            let mut others = earlier.chain(self.outer_prefixes());
            if let Some((other, _)) = others.find(|&(_, other)| overlap(own.cidr(), other)) {
                let field = own.field;
                return wrong(
                    own.prefix,
                    format!("{field}: expected a prefix that does not overlap {other}"),
                );
            }
        }
        Ok(())
    }

    fn outer_prefixes(&self) -> Vec<(&'static str, Cidr)> {
        let host = |name, address| (name, Cidr::host(address));
        let uplink = self
            .uplink
            .addresses
            .iter()
            .map(|a| ("uplink.addresses", *a.get_ref()));
        let gateways = self
            .uplink
            .gateways
            .iter()
            .map(|a| host("uplink.gateways", *a.get_ref()));
        let leave = self.uplink.egress.iter();
        let leave = leave.map(|a| host("uplink.egress", *a.get_ref()));
        let wireguard = self.wireguard.addresses.get_ref().iter();
        let wireguard = wireguard.map(|a| host("wireguard.addresses", *a));
        let streaming = self
            .pools
            .streaming
            .iter()
            .filter_map(|pool| pool.egress.as_ref());
        let egress = streaming.map(|a| host("pools.streaming.egress", (*a.get_ref()).into()));
        let public = self
            .pools
            .public
            .iter()
            .map(|pool| ("pools.public.outer", *pool.outer.get_ref()));
        let services = [
            host("accounts.address", self.accounts.address.get_ref().ip()),
            host("operator.healthz", self.operator.healthz.get_ref().ip()),
        ];
        let stand_bys = self.accounts.stand_bys.iter();
        let stand_bys = stand_bys.map(|a| host("accounts.stand_bys", a.get_ref().ip()));
        uplink
            .chain(gateways)
            .chain(leave)
            .chain(wireguard)
            .chain(egress)
            .chain(public)
            .chain(services)
            .chain(stand_bys)
            .collect()
    }

    fn check_lists(&self) -> Result<(), Wrong> {
        let keys = &self.tokens.keys;
        if keys.get_ref().is_empty() || has_duplicate(keys.get_ref()) {
            return wrong(
                keys,
                "tokens.keys: expected at least one key, and none twice".to_owned(),
            );
        }
        let addresses = &self.wireguard.addresses;
        if addresses.get_ref().is_empty() || has_duplicate(addresses.get_ref()) {
            return wrong(
                addresses,
                "wireguard.addresses: expected at least one address, and none twice".to_owned(),
            );
        }
        if let Some(duplicate) = duplicate(&self.uplink.addresses, |a, b| a == b) {
            return wrong(
                duplicate,
                "uplink.addresses: expected each address once".to_owned(),
            );
        }
        if let Some(duplicate) = duplicate(&self.uplink.gateways, |a, b| a.is_ipv4() == b.is_ipv4())
        {
            return wrong(
                duplicate,
                "uplink.gateways: expected at most one router for each family".to_owned(),
            );
        }
        self.check_egress()
    }

    fn check_egress(&self) -> Result<(), Wrong> {
        let egress = &self.uplink.egress;
        if let Some(duplicate) = duplicate(egress, |a, b| a.is_ipv4() == b.is_ipv4()) {
            return wrong(
                duplicate,
                "uplink.egress: expected at most one address for each family".to_owned(),
            );
        }
        let endpoints = self.wireguard.addresses.get_ref();
        match egress.iter().find(|own| endpoints.contains(own.get_ref())) {
            Some(endpoint) => wrong(
                endpoint,
                "uplink.egress: expected an address that is not in wireguard.addresses".to_owned(),
            ),
            None => Ok(()),
        }
    }

    fn check_ranges(&self) -> Result<(), Wrong> {
        let mtu = &self.wireguard.mtu;
        if !MTU.contains(mtu.get_ref()) {
            return wrong(
                mtu,
                format!(
                    "wireguard.mtu: expected {} to {} bytes",
                    MTU.start(),
                    MTU.end()
                ),
            );
        }
        let abi = &self.lockdown.landlock_abi;
        if !LANDLOCK_ABI.contains(abi.get_ref()) {
            let (lowest, highest) = (LANDLOCK_ABI.start(), LANDLOCK_ABI.end());
            return wrong(
                abi,
                format!("lockdown.landlock_abi: expected {lowest} to {highest}"),
            );
        }
        let healthz = &self.operator.healthz;
        if healthz.get_ref().port() == self.enrolment.port.get() {
            return wrong(
                healthz,
                "operator.healthz: expected another port than enrolment.port".to_owned(),
            );
        }
        Ok(())
    }
}

fn wrong<T>(at: &Spanned<T>, expected: String) -> Result<(), Wrong> {
    Err(Wrong {
        span: at.span(),
        expected,
    })
}

/// A pool is given by its network address, so that it cannot be mistaken for a host.
fn check_prefix(
    field: &str,
    prefix: &Spanned<Cidr>,
    lengths: RangeInclusive<u8>,
) -> Result<(), Wrong> {
    let cidr = *prefix.get_ref();
    if !lengths.contains(&cidr.prefix) {
        let (least, most) = (lengths.start(), lengths.end());
        return wrong(
            prefix,
            format!("{field}: expected a prefix from /{least} to /{most}"),
        );
    }
    let (bits, width) = as_bits(cidr.address);
    if bits & !mask(cidr.prefix, width) != 0 {
        return wrong(
            prefix,
            format!("{field}: expected no bits set after the prefix"),
        );
    }
    Ok(())
}

fn overlap(a: Cidr, b: Cidr) -> bool {
    let ((a_bits, a_width), (b_bits, b_width)) = (as_bits(a.address), as_bits(b.address));
    let mask = mask(a.prefix.min(b.prefix), a_width);
    a_width == b_width && a_bits & mask == b_bits & mask
}

/// An address as a number, and the width of its family in bits.
fn as_bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

/// A mask of `width` bits. Its first `prefix` bits are set.
fn mask(prefix: u8, width: u8) -> u128 {
    let host = u32::from(width.saturating_sub(prefix));
    u128::MAX.checked_shl(host).unwrap_or(0)
}

fn has_duplicate<T: PartialEq>(list: &[T]) -> bool {
    list.iter()
        .enumerate()
        .any(|(index, item)| list.iter().take(index).any(|other| other == item))
}

/// The first item that is like one before it.
fn duplicate<T>(list: &[Spanned<T>], like: fn(&T, &T) -> bool) -> Option<&Spanned<T>> {
    list.iter().enumerate().find_map(|(index, item)| {
        let mut before = list.iter().take(index);
        before
            .any(|other| like(other.get_ref(), item.get_ref()))
            .then_some(item)
    })
}
