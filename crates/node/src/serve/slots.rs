//! Limits the number of connections, for each source and for all together.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::net::{IpAddr, Ipv6Addr};
use std::rc::Rc;

/// Slots for connections. A source is held as a salted hash, while it is connected.
pub(super) struct Slots {
    limit: usize,
    limit_by_source: usize,
    salt: RandomState,
    taken: Rc<RefCell<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_source: HashMap<u64, usize>,
}

/// A slot. It is given back when dropped.
pub(super) struct Slot {
    source: u64,
    taken: Rc<RefCell<Taken>>,
}

impl Slots {
    pub(super) fn new(limit: usize, limit_by_source: usize) -> Self {
        Self {
            limit,
            limit_by_source,
            salt: RandomState::new(),
            taken: Rc::default(),
        }
    }

    /// Takes a slot for a connection, unless a limit is reached.
    pub(super) fn take(&self, remote: IpAddr) -> Option<Slot> {
        let source = self.salt.hash_one(source(remote));
        let mut taken = self.taken.borrow_mut();
        if taken.all >= self.limit {
            return None;
        }
        let of_source = taken.by_source.entry(source).or_default();
        if *of_source >= self.limit_by_source {
            return None;
        }
        *of_source += 1;
        taken.all += 1;
        Some(Slot {
            source,
            taken: self.taken.clone(),
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.borrow_mut();
        taken.all -= 1;
        if let Some(of_source) = taken.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                taken.by_source.remove(&self.source);
            }
        }
    }
}

/// The part of an address that stands for one customer: an IPv4 address, or a /64.
fn source(remote: IpAddr) -> IpAddr {
    match remote.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        ipv4 => ipv4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_takes_no_more_than_its_share_and_leaves_nothing_behind() {
        let slots = Slots::new(3, 2);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "192.0.2.1".parse().unwrap();
        let held = [slots.take(one), slots.take(neighbour)];
        assert!(held.iter().all(Option::is_some));
        assert!(slots.take(one).is_none());
        let last = slots.take(other);
        assert!(last.is_some());
        assert!(slots.take("192.0.2.2".parse().unwrap()).is_none());
        drop((held, last));
        assert!(slots.taken.borrow().by_source.is_empty());
        assert!(slots.take(one).is_some());
    }

    #[test]
    fn an_ipv4_client_of_a_dual_stack_socket_is_its_ipv4_address() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(source(mapped), "192.0.2.1".parse::<IpAddr>().unwrap());
    }
}
