//! Places for connections, with a share for each network.
//!
//! No connection is refused because others came first. When all places are taken, the network that
//! has most of them gives one up: of the largest networks the one with the most connections, in it
//! the smaller one with the most, and in that the oldest connection. So who has few connections
//! loses none to who has many, however fast those come.
//!
//! A place holds its client's networks while the client is connected, and is overwritten when the
//! connection ends. There is no hash and no salt, so nothing is left that a search could open.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::network::{LEVELS, Networks};

/// If every network has one connection only, the oldest has this long before it may lose its place
/// to a newcomer. Otherwise many honest clients that come at once would push each other out before
/// any of them is served.
const OWN_TIME: Duration = Duration::from_secs(1);

/// A fixed number of places. Clones are the same places.
#[derive(Clone)]
pub(super) struct Places(Rc<RefCell<Table>>);

struct Table {
    places: Box<[Place]>,
    taken: usize,
    /// The number of the next connection.
    next: u64,
    /// What the times in the places are counted from.
    start: Instant,
}

/// A place, all zero while it is free. It has no `Option` but the last: what such a value held stays
/// in memory when it becomes `None`, unless it is a pointer.
#[derive(Default)]
struct Place {
    networks: Networks,
    /// How many places each of the networks has.
    counts: [u16; LEVELS],
    /// Connections are numbered as they come.
    number: u64,
    taken_at: Duration,
    /// Notified when the place goes to another connection.
    lost: Option<Rc<Notify>>,
}

/// A connection's place. It is given back when dropped.
pub(super) struct Slot {
    places: Places,
    index: usize,
    number: u64,
    lost: Rc<Notify>,
}

impl Places {
    pub(super) fn new(number: u16, now: Instant) -> Self {
        Self(Rc::new(RefCell::new(Table {
            places: (0..number).map(|_| Place::default()).collect(),
            taken: 0,
            next: 0,
            start: now,
        })))
    }

    /// Takes a place for a connection from `networks`. If none is free, another connection loses
    /// its place, unless every network has one connection only and all of them are young.
    pub(super) fn take(&self, networks: Networks, now: Instant) -> Option<Slot> {
        let mut table = self.0.borrow_mut();
        let index = table.free(&networks, now)?;
        let (number, lost) = table.enter(index, networks, now)?;
        Some(Slot {
            places: self.clone(),
            index,
            number,
            lost,
        })
    }

    /// Whether more than half of the places are taken.
    pub(super) fn is_crowded(&self) -> bool {
        let table = self.0.borrow();
        table.taken > table.places.len() / 2
    }
}

impl Slot {
    /// Returns once the place has gone to another connection.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// Moves the connection to another table of places, and gives this place back. `None` if the
    /// place is lost, or if there is none there.
    pub(super) fn move_to(self, places: &Places, now: Instant) -> Option<Self> {
        let networks = {
            let table = self.places.0.borrow();
            table.holder(self.index, self.number)?.networks
        };
        places.take(networks, now)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.places.0.borrow_mut();
        if table.holder(self.index, self.number).is_some() {
            table.leave(self.index);
        }
    }
}

impl Table {
    /// A free place, if need be one that another connection has just lost.
    fn free(&mut self, newcomer: &Networks, now: Instant) -> Option<usize> {
        if self.taken < self.places.len() {
            return self.places.iter().position(Place::is_free);
        }
        let index = self.weakest(newcomer)?;
        let place = self.places.get(index)?;
        let is_alone = place.counts_with(newcomer).first() == Some(&1);
        let age = now
            .duration_since(self.start)
            .saturating_sub(place.taken_at);
        if is_alone && age < OWN_TIME {
            return None;
        }
        if let Some(lost) = &place.lost {
            lost.notify_one();
        }
        self.leave(index);
        Some(index)
    }

    /// The place that goes if all are taken: the oldest in the network that has most.
    fn weakest(&self, newcomer: &Networks) -> Option<usize> {
        let places = self.places.iter().enumerate();
        let weight = |place: &Place| (place.counts_with(newcomer), Reverse(place.number));
        let weakest = places.max_by_key(|(_, place)| weight(place));
        weakest.map(|(index, _)| index)
    }

    fn enter(
        &mut self,
        index: usize,
        networks: Networks,
        now: Instant,
    ) -> Option<(u64, Rc<Notify>)> {
        let mut counts = [1; LEVELS];
        for place in self.places.iter_mut().filter(|place| !place.is_free()) {
            let shared = place.networks.shared(&networks);
            let both = counts.iter_mut().zip(&mut place.counts);
            for (own, other) in both.take(shared) {
                *own += 1;
                *other += 1;
            }
        }
        let number = self.next;
        let lost = Rc::new(Notify::new());
        *self.places.get_mut(index)? = Place {
            networks,
            counts,
            number,
            taken_at: now.duration_since(self.start),
            lost: Some(Rc::clone(&lost)),
        };
        self.taken += 1;
        self.next += 1;
        Some((number, lost))
    }

    /// Empties a place that is taken.
    fn leave(&mut self, index: usize) {
        let Some(place) = self.places.get_mut(index) else {
            return;
        };
        let left = std::mem::take(place);
        self.taken -= 1;
        if self.taken == 0 {
            self.next = 0;
        }
        for place in self.places.iter_mut().filter(|place| !place.is_free()) {
            let shared = place.networks.shared(&left.networks);
            for count in place.counts.iter_mut().take(shared) {
                *count -= 1;
            }
        }
    }

    /// The place, if the connection with this number still has it.
    fn holder(&self, index: usize, number: u64) -> Option<&Place> {
        let place = self.places.get(index)?;
        (!place.is_free() && place.number == number).then_some(place)
    }
}

impl Place {
    fn is_free(&self) -> bool {
        self.lost.is_none()
    }

    /// How many connections the networks of the place have together with a newcomer.
    fn counts_with(&self, newcomer: &Networks) -> [u16; LEVELS] {
        let mut counts = self.counts;
        for count in counts.iter_mut().take(self.networks.shared(newcomer)) {
            *count += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    /// The host with this number in the network with this number of a /48.
    fn of(site: u16, network: u16, host: u16) -> Networks {
        let address = Ipv6Addr::new(0x2001, 0xdb8, site, network, 0, 0, 0, host);
        Networks::of(address.into(), &[])
    }

    fn places(number: u16) -> (Places, Instant) {
        let now = Instant::now();
        (Places::new(number, now), now)
    }

    fn has_lost(slot: &Slot) -> bool {
        slot.places
            .0
            .borrow()
            .holder(slot.index, slot.number)
            .is_none()
    }

    #[test]
    fn the_oldest_of_the_network_that_has_most_gives_way() {
        let (places, now) = places(6);
        let take = |networks| places.take(networks, now).unwrap();
        let alone = take(of(1, 0, 1));
        let pair = [take(of(2, 0, 1)), take(of(2, 0, 2))];
        // Three networks of one site.
        let site = [take(of(3, 0, 1)), take(of(3, 1, 1)), take(of(3, 0x100, 1))];
        let newcomer = take(of(4, 0, 1));
        // 3:0 and 3:1 are in one /56.
        let lost: Vec<_> = site.iter().map(has_lost).collect();
        assert_eq!(lost, [true, false, false]);
        assert!(!has_lost(&alone) && !pair.iter().any(has_lost) && !has_lost(&newcomer));
    }

    #[test]
    fn who_has_most_already_takes_from_itself() {
        let (places, now) = places(3);
        let take = |networks| places.take(networks, now).unwrap();
        let other = take(of(1, 0, 1));
        let own = [take(of(2, 0, 1)), take(of(2, 0, 1)), take(of(2, 0, 1))];
        assert!(has_lost(&own[0]) && !has_lost(&own[1]) && !has_lost(&other));
    }

    #[test]
    fn five_thousand_connections_of_sixteen_networks_take_nothing_from_one() {
        let (places, now) = places(512);
        let client = places.take(of(1, 0, 1), now).unwrap();
        let flood: Vec<_> = (0..5000)
            .map(|number| places.take(of(2, number % 16, number), now).unwrap())
            .collect();
        assert!(!has_lost(&client));
        let held = flood.iter().filter(|slot| !has_lost(slot)).count();
        assert_eq!(held, 511);
    }

    #[test]
    fn clients_that_are_alone_in_their_networks_have_a_second() {
        let (places, now) = places(2);
        let first = places.take(of(1, 0, 1), now).unwrap();
        let second = places.take(of(2, 0, 1), now).unwrap();
        assert!(places.take(of(3, 0, 1), now).is_none());
        assert!(!has_lost(&first));
        let _third = places.take(of(3, 0, 1), now + OWN_TIME).unwrap();
        assert!(has_lost(&first) && !has_lost(&second));
    }

    #[test]
    fn a_place_that_was_given_back_holds_nothing() {
        let (places, now) = places(4);
        let later = now + Duration::from_secs(1);
        let slots = [
            places.take(of(1, 0, 1), later),
            places.take(of(1, 1, 1), later),
        ];
        assert!(!places.is_crowded());
        drop(slots);
        let table = places.0.borrow();
        assert_eq!((table.taken, table.next), (0, 0));
        for place in &table.places {
            assert!(place.networks == Networks::default() && place.is_free());
            assert_eq!((place.counts, place.number), ([0; LEVELS], 0));
            assert_eq!(place.taken_at, Duration::ZERO);
        }
    }

    #[test]
    fn a_place_that_is_left_no_longer_counts() {
        let (places, now) = places(3);
        let take = |networks| places.take(networks, now).unwrap();
        let one = take(of(1, 0, 1));
        drop((take(of(1, 0, 2)), take(of(1, 0, 3))));
        let pair = [take(of(2, 0, 1)), take(of(2, 0, 2))];
        let _newcomer = take(of(3, 0, 1));
        assert!(has_lost(&pair[0]) && !has_lost(&one));
    }

    #[test]
    fn a_connection_moves_between_tables_while_it_has_its_place() {
        let (waiting, now) = places(1);
        let (proven, _) = places(1);
        let first = waiting.take(of(1, 0, 1), now).unwrap();
        let first = first.move_to(&proven, now).unwrap();
        assert!(!has_lost(&first) && !waiting.is_crowded());
        let second = waiting.take(of(2, 0, 1), now).unwrap();
        let _third = waiting.take(of(2, 0, 2), now).unwrap();
        assert!(second.move_to(&proven, now).is_none());
    }

    #[tokio::test]
    async fn who_loses_a_place_learns_it() {
        let (places, now) = places(1);
        let first = places.take(of(1, 0, 1), now).unwrap();
        let _second = places.take(of(1, 0, 2), now).unwrap();
        first.lost().await;
    }
}
