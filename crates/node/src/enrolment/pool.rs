//! Inner addresses: which are free, and which is given out next.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand_core::RngCore;

use mayfly_wire::enrol::Cidr;

/// How many addresses of a prefix are given out at most. An IPv6 prefix has more.
const MAX_ADDRESSES: u32 = 1 << 16;

/// The first host address of a prefix, which is the node's own.
pub(crate) fn own_address(prefix: Cidr) -> IpAddr {
    at(prefix.address, 1)
}

/// The free addresses of one prefix, in the order in which they will be given out.
pub(super) struct Pool {
    network: IpAddr,
    /// Distances from the network address.
    free: VecDeque<u32>,
    /// How many addresses it has, free and given out.
    size: usize,
}

impl Pool {
    /// All addresses of a prefix in random order, except the network address, the node's own (the
    /// first host) and, in IPv4, the broadcast address.
    pub(super) fn new(prefix: Cidr, random: &mut impl RngCore) -> Self {
        let width = if prefix.address.is_ipv4() { 32 } else { 128 };
        let host_bits = u32::from(width - prefix.prefix.min(width));
        let size = 1u32
            .checked_shl(host_bits)
            .unwrap_or(MAX_ADDRESSES)
            .min(MAX_ADDRESSES);
        let mut pool = Self {
            network: prefix.address,
            free: VecDeque::new(),
            size: 0,
        };
        let broadcast = u32::from(prefix.address.is_ipv4());
        for distance in 2..size.saturating_sub(broadcast) {
            pool.insert(distance, 0, random);
        }
        pool.size = pool.free.len();
        pool
    }

    /// The next address, if one is free.
    pub(super) fn take(&mut self) -> Option<IpAddr> {
        let distance = self.free.pop_front()?;
        Some(at(self.network, distance))
    }

    /// Takes an address back. It waits in the later half, so that another client does not get it at
    /// once, and at a random place, so that the order does not show when it was given back.
    pub(super) fn put_back(&mut self, address: IpAddr, random: &mut impl RngCore) {
        let distance = match (address, self.network) {
            (IpAddr::V4(address), IpAddr::V4(network)) => {
                u32::from(address).wrapping_sub(network.into())
            }
            // Distances are below `MAX_ADDRESSES`, and the prefix ends before those bits.
            (IpAddr::V6(address), _) => (u128::from(address) % u128::from(MAX_ADDRESSES)) as u32,
            (IpAddr::V4(_), IpAddr::V6(_)) => return,
        };
        self.insert(distance, self.free.len() / 2, random);
    }

    /// Whether no address is free.
    pub(super) fn is_empty(&self) -> bool {
        self.free.is_empty()
    }

    /// How many addresses it has, free and given out.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Inserts at a random place that is not before `earliest`.
    fn insert(&mut self, distance: u32, earliest: usize, random: &mut impl RngCore) {
        self.free.push_back(distance);
        let last = self.free.len() - 1;
        let places = (last - earliest.min(last) + 1) as u64;
        let place = last - (random.next_u64() % places) as usize;
        self.free.swap(place, last);
    }
}

fn at(network: IpAddr, distance: u32) -> IpAddr {
    match network {
        IpAddr::V4(network) => Ipv4Addr::from(u32::from(network).wrapping_add(distance)).into(),
        IpAddr::V6(network) => Ipv6Addr::from(u128::from(network) | u128::from(distance)).into(),
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn random() -> ChaCha20Rng {
        ChaCha20Rng::from_seed([1; 32])
    }

    fn drain(pool: &mut Pool) -> Vec<String> {
        let mut all: Vec<_> = std::iter::from_fn(|| pool.take())
            .map(|a| a.to_string())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn a_pool_gives_each_host_once_but_neither_the_nodes_nor_the_networks() {
        let mut pool = Pool::new("10.64.0.0/29".parse().unwrap(), &mut random());
        let hosts = [
            "10.64.0.2",
            "10.64.0.3",
            "10.64.0.4",
            "10.64.0.5",
            "10.64.0.6",
        ];
        assert_eq!(drain(&mut pool), hosts);
        assert!(pool.is_empty());
    }

    #[test]
    fn an_ipv6_prefix_gives_as_many_as_an_ipv4_one_and_takes_them_back() {
        let mut random = random();
        let mut pool = Pool::new("fd00:64::/64".parse().unwrap(), &mut random);
        assert_eq!(pool.free.len(), 65534);
        let address = pool.take().unwrap();
        pool.put_back(address, &mut random);
        assert!(drain(&mut pool).contains(&address.to_string()));
    }

    #[test]
    fn an_address_let_go_waits_until_half_of_the_free_ones_are_taken() {
        let mut random = random();
        let mut pool = Pool::new("10.64.0.0/24".parse().unwrap(), &mut random);
        for _ in 0..100 {
            let address = pool.take().unwrap();
            pool.put_back(address, &mut random);
            let place = pool
                .free
                .iter()
                .position(|&d| address.to_string().ends_with(&format!(".{d}")));
            assert!(place.unwrap() >= 126);
        }
    }
}
