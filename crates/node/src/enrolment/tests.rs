use mayfly_wire::TICKET_LEN;

use super::*;
use crate::settings::Settings;

const FULL_OF_ONE: &str = "10.64.0.0/30";

fn registry(ipv4: &str) -> Registry {
    let text = include_str!("../../example.toml").replace("10.64.0.0/16", ipv4);
    let settings = Settings::parse("example.toml", &text).unwrap();
    Registry::new(
        &settings.pools,
        NodeKeys::new(key(99)),
        [7; 32],
        Instant::now(),
    )
}

fn token(ticket: u8, exp: u64) -> Claims {
    Claims {
        ticket: Ticket([ticket; TICKET_LEN]),
        exp,
        ipv6: false,
        streaming: false,
        public_ipv4: false,
        multihop: false,
    }
}

fn key(number: u8) -> PublicKey {
    PublicKey([number; 32])
}

/// Enrols without a bearer, and returns what happened as letters: Add, reMove, Renew.
fn enrol(registry: &mut Registry, ticket: u8, number: u8) -> Result<String, Refusal> {
    registry
        .enrol(&token(ticket, 3600), key(number), None)
        .map(|(_, changes)| letters(&changes))
}

/// The session of every enrolment begins.
fn connect(registry: &mut Registry) {
    let all: Vec<_> = registry.enrolments.keys().copied().collect();
    for id in all {
        registry.session_up(id).unwrap();
    }
}

/// The session of every enrolment ends.
fn disconnect(registry: &mut Registry) {
    let all: Vec<_> = registry.enrolments.keys().copied().collect();
    for id in all {
        registry.session_down(id);
    }
}

/// Lets some minutes pass.
fn pass(registry: &mut Registry, minutes: u32) {
    for _ in 0..minutes {
        registry.handle_tick(registry.next_minute);
    }
}

fn holds(registry: &Registry, number: u8) -> bool {
    registry.of_key(key(number)).is_some()
}

fn letters(changes: &[Change]) -> String {
    let letter = |change: &Change| match change {
        Change::Add(..) => 'A',
        Change::Remove(..) => 'M',
        Change::Renew(..) => 'R',
    };
    changes.iter().map(letter).collect()
}

#[test]
fn a_second_key_under_one_token_replaces_the_first_which_goes_before() {
    let mut registry = registry("10.64.0.0/24");
    assert_eq!(enrol(&mut registry, 1, 10).unwrap(), "A");
    assert_eq!(enrol(&mut registry, 1, 11).unwrap(), "MA");
    assert_eq!(registry.enrolments.len(), 1);
}

#[test]
fn a_second_key_under_one_token_fits_into_a_full_pool() {
    let mut registry = registry(FULL_OF_ONE);
    assert_eq!(enrol(&mut registry, 1, 10).unwrap(), "A");
    connect(&mut registry);
    assert!(registry.is_full());
    assert_eq!(enrol(&mut registry, 2, 12), Err(Refusal::PoolFull));
    assert_eq!(enrol(&mut registry, 1, 11).unwrap(), "MA");
}

#[test]
fn the_same_key_and_token_again_get_the_same_answer() {
    let mut registry = registry("10.64.0.0/24");
    let (first, _) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    let (again, changes) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    assert!(changes.is_empty());
    assert!(
        first.client.preshared_key == again.client.preshared_key
            && first.client.ipv4 == again.client.ipv4
    );
}

#[test]
fn a_key_of_another_token_is_taken_unless_the_bearer_is_its_pre_shared_key() {
    let mut registry = registry("10.64.0.0/24");
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    let wrong = PresharedKey([0; 32]);
    for bearer in [None, Some(&wrong)] {
        let refused = registry.enrol(&token(2, 7200), key(10), bearer);
        assert_eq!(refused.err(), Some(Refusal::KeyTaken));
    }
    let bearer = Some(&enrolled.client.preshared_key);
    let (extended, changes) = registry.enrol(&token(2, 7200), key(10), bearer).unwrap();
    assert_eq!(letters(&changes), "R");
    assert_eq!(extended.expires, 7200);
    assert!(extended.client.ipv4 == enrolled.client.ipv4);
    // The first token may be spent again: it no longer has a key here.
    assert_eq!(enrol(&mut registry, 1, 11).unwrap(), "A");
}

#[test]
fn an_extension_by_a_token_that_has_another_key_takes_that_keys_place() {
    let mut registry = registry("10.64.0.0/24");
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    enrol(&mut registry, 2, 11).unwrap();
    let bearer = Some(&enrolled.client.preshared_key);
    let (_, changes) = registry.enrol(&token(2, 3600), key(10), bearer).unwrap();
    assert_eq!(letters(&changes), "MR");
    assert_eq!(registry.enrolments.len(), 1);
}

#[test]
fn a_token_with_another_add_on_enrols_the_key_anew_in_its_pool() {
    let mut registry = registry("10.64.0.0/24");
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    let bearer = Some(&enrolled.client.preshared_key);
    let streaming = Claims {
        streaming: true,
        ..token(2, 3600)
    };
    let (moved, changes) = registry.enrol(&streaming, key(10), bearer).unwrap();
    assert_eq!(letters(&changes), "MA");
    assert!(moved.client.ipv4.to_string().starts_with("10.65."));
}

#[test]
fn ipv6_is_given_to_those_who_want_it_only() {
    let mut registry = registry("10.64.0.0/24");
    let wants = Claims {
        ipv6: true,
        ..token(1, 3600)
    };
    let (enrolled, _) = registry.enrol(&wants, key(10), None).unwrap();
    assert!(enrolled.client.ipv6.is_some());
    let (enrolled, _) = registry.enrol(&token(2, 3600), key(11), None).unwrap();
    assert!(enrolled.client.ipv6.is_none());
}

#[test]
fn a_low_order_key_is_refused() {
    let mut registry = registry("10.64.0.0/24");
    assert_eq!(enrol(&mut registry, 1, 0), Err(Refusal::KeyLowOrder));
    let one = PublicKey([&[1][..], &[0; 31]].concat().try_into().unwrap());
    let refused = registry.enrol(&token(1, 3600), one, None);
    assert_eq!(refused.err(), Some(Refusal::KeyLowOrder));
}

#[test]
fn the_nodes_own_key_is_no_peers() {
    let mut registry = registry("10.64.0.0/24");
    assert_eq!(enrol(&mut registry, 1, 99), Err(Refusal::KeyTaken));
}

#[test]
fn only_the_pre_shared_key_releases_a_peer() {
    let mut registry = registry(FULL_OF_ONE);
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    let wrong = PresharedKey([0; 32]);
    let refused = Some(Refusal::NotThePeer);
    assert_eq!(registry.release(key(10), None).err(), refused);
    assert_eq!(registry.release(key(10), Some(&wrong)).err(), refused);
    assert_eq!(registry.release(key(11), Some(&wrong)).err(), refused);
    let bearer = enrolled.client.preshared_key;
    assert!(registry.release(key(10), Some(&bearer)).is_ok());
    assert!(!registry.is_full());
    assert_eq!(registry.release(key(10), Some(&bearer)).err(), refused);
}

#[test]
fn an_enrolment_ends_with_its_token_and_leaves_nothing() {
    let mut registry = registry("10.64.0.0/24");
    enrol(&mut registry, 1, 10).unwrap();
    assert!(registry.expire(3599, false).is_empty());
    let id = *registry.enrolments.keys().next().unwrap();
    registry.session_up(id).unwrap();
    assert!(registry.expire(3600, true).is_empty());
    assert_eq!(letters(&registry.expire(3600, false)), "M");
    assert!(registry.enrolments.is_empty() && registry.by_key.is_empty());
    assert!(registry.by_ticket.is_empty() && registry.next_end == u64::MAX);
}

#[test]
fn a_finally_denied_key_is_refused_for_ten_minutes() {
    let mut registry = registry("10.64.0.0/24");
    let (_, changes) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    let Some(Change::Add(id, _)) = changes.first() else {
        panic!("a new key is added");
    };
    let (session, _) = registry.session_up(*id).unwrap();
    assert!(registry.deny(session).is_some());
    // The minute of the denial has passed in part.
    pass(&mut registry, 10);
    let refused = registry.enrol(&token(2, 3600), key(10), None);
    assert_eq!(refused.err(), Some(Refusal::KeyBarred));
    pass(&mut registry, 1);
    assert!(registry.barred.is_empty());
    assert!(registry.enrol(&token(2, 3600), key(10), None).is_ok());
}

#[test]
fn everybody_is_found_by_key_and_ticket_however_many_there_are() {
    let mut registry = registry("10.64.0.0/16");
    let claims = |number: u32| {
        let mut claims = token(0, 3600);
        claims.ticket.0[..4].copy_from_slice(&number.to_le_bytes());
        claims
    };
    let key = |number: u32| {
        let mut key = key(9);
        key.0[..4].copy_from_slice(&number.to_le_bytes());
        key
    };
    for number in 0..1000 {
        let enrolled = registry.enrol(&claims(number), key(number), None);
        assert_eq!(letters(&enrolled.unwrap().1), "A");
    }
    for number in 0..1000 {
        let again = registry.enrol(&claims(number), key(number), None);
        assert_eq!(letters(&again.unwrap().1), "");
    }
}

/// Tokens and keys of one account and of others, by number.
fn number(number: u16, claims: &Claims) -> (Claims, PublicKey) {
    let mut claims = claims.clone();
    claims.ticket.0[..2].copy_from_slice(&number.to_le_bytes());
    let mut key = key(9);
    key.0[..2].copy_from_slice(&number.to_le_bytes());
    (claims, key)
}

#[test]
fn an_account_that_enrols_432_times_and_never_connects_keeps_nobody_out_of_any_pool() {
    let plain = token(0, 3600);
    let classes = [
        plain.clone(),
        Claims {
            ipv6: true,
            ..plain.clone()
        },
        Claims {
            streaming: true,
            ..plain.clone()
        },
        Claims {
            public_ipv4: true,
            ..plain
        },
    ];
    for claims in &classes {
        let text = include_str!("../../example.toml")
            .replace("10.64.0.0/16", "10.64.0.0/24")
            .replace("10.65.0.0/16", "10.65.0.0/24");
        let settings = Settings::parse("example.toml", &text).unwrap();
        let mut registry = Registry::new(
            &settings.pools,
            NodeKeys::new(key(99)),
            [7; 32],
            Instant::now(),
        );
        for n in 0..432 {
            let (claims, key) = number(n, claims);
            registry.enrol(&claims, key, None).unwrap();
        }
        let (claims, key) = number(1000, claims);
        registry.enrol(&claims, key, None).unwrap();
        // No packet thread has answered yet. Addresses of different enrolments differ.
        let addresses: std::collections::HashSet<_> = registry
            .enrolments
            .values()
            .map(|enrolment| enrolment.client.ipv4)
            .collect();
        assert_eq!(addresses.len(), registry.enrolments.len());
        assert!(registry.of_key(key).is_some());
    }
}

#[test]
fn neither_a_session_nor_who_had_one_within_the_hour_gives_way() {
    let mut registry = registry("10.64.0.0/29");
    for n in 0..5 {
        enrol(&mut registry, n, 10 + n).unwrap();
    }
    connect(&mut registry);
    assert!(registry.is_full());
    assert_eq!(enrol(&mut registry, 9, 20), Err(Refusal::PoolFull));
    disconnect(&mut registry);
    pass(&mut registry, 59);
    assert_eq!(enrol(&mut registry, 9, 20), Err(Refusal::PoolFull));
    pass(&mut registry, 61);
    assert!(!registry.is_full());
    assert_eq!(enrol(&mut registry, 9, 20).unwrap(), "MA");
}

#[test]
fn who_never_connected_gives_way_before_who_is_away() {
    let mut registry = registry("10.64.0.0/29");
    for n in 0..4 {
        enrol(&mut registry, n, 10 + n).unwrap();
    }
    connect(&mut registry);
    disconnect(&mut registry);
    pass(&mut registry, 180);
    enrol(&mut registry, 4, 14).unwrap();
    pass(&mut registry, 2);
    enrol(&mut registry, 5, 15).unwrap();
    assert!(!holds(&registry, 14));
    assert!((10..14).all(|number| holds(&registry, number)));
}

#[test]
fn a_new_client_has_time_to_connect_while_others_are_away() {
    let mut registry = registry("10.64.0.0/29");
    for n in 0..5 {
        enrol(&mut registry, n, 10 + n).unwrap();
    }
    connect(&mut registry);
    disconnect(&mut registry);
    pass(&mut registry, 180);
    // It takes the place of one who is away. The next takes its place, and not one more of those.
    enrol(&mut registry, 5, 15).unwrap();
    assert!(holds(&registry, 15));
    enrol(&mut registry, 6, 16).unwrap();
    assert!(!holds(&registry, 15) && holds(&registry, 16));
    assert_eq!((10..15).filter(|n| holds(&registry, *n)).count(), 4);
}

#[test]
fn an_enrolment_in_the_place_of_another_has_its_shard() {
    for _ in 0..100 {
        let id = EnrolmentId::random();
        let other = id.beside();
        assert_ne!(id, other);
        for shards in 1..=64 {
            assert!(id.shard(shards) < shards);
            assert_eq!(id.shard(shards), other.shard(shards));
        }
    }
    let mut registry = registry(FULL_OF_ONE);
    enrol(&mut registry, 1, 10).unwrap();
    let first = *registry.enrolments.keys().next().unwrap();
    enrol(&mut registry, 2, 11).unwrap();
    let second = *registry.enrolments.keys().next().unwrap();
    assert_eq!(first.shard(256), second.shard(256));
}

#[test]
fn numbers_do_not_say_which_enrolment_came_first() {
    let mut registry = registry("10.64.0.0/24");
    let mut numbers = Vec::new();
    for n in 0..100 {
        enrol(&mut registry, n, 100 + n).unwrap();
        let id = registry.of_key(key(100 + n)).unwrap();
        let (session, _) = registry.session_up(id).unwrap();
        numbers.push((id.0, session.generation.get()));
    }
    let rises = |value: fn(&(u64, u64)) -> u64| {
        let pairs = numbers.windows(2);
        pairs.filter(|two| value(&two[0]) < value(&two[1])).count()
    };
    // Each of 99 pairs rises with a chance of a half: outside these bounds once in 10^8.
    assert!((20..80).contains(&rises(|numbers| numbers.0)));
    assert!((20..80).contains(&rises(|numbers| numbers.1)));
}

#[test]
fn an_address_rests_until_nothing_can_come_to_it() {
    let mut registry = registry(FULL_OF_ONE);
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    let id = registry.of_key(key(10)).unwrap();
    connect(&mut registry);
    let bearer = enrolled.client.preshared_key;
    registry.release(key(10), Some(&bearer)).unwrap();
    assert_eq!(enrol(&mut registry, 2, 11), Err(Refusal::AddressesRest));
    assert!(!registry.is_full());
    registry.rested(id);
    assert_eq!(enrol(&mut registry, 2, 11).unwrap(), "A");
    assert!(registry.resting.is_empty());
}

#[test]
fn a_token_in_a_loop_is_refused_for_the_rest_of_the_minute_which_then_is_forgotten() {
    let mut registry = registry("10.64.0.0/24");
    for number in 0..6 {
        enrol(&mut registry, 1, 10 + number).unwrap();
    }
    assert_eq!(enrol(&mut registry, 1, 16), Err(Refusal::TokenTooOften));
    // What it has enrolled stays, and the same answer is given as often as it is asked for.
    assert_eq!(enrol(&mut registry, 1, 15).unwrap(), "");
    assert_eq!(enrol(&mut registry, 2, 17).unwrap(), "A");
    pass(&mut registry, 1);
    assert!(registry.spending.is_empty());
    assert_eq!(enrol(&mut registry, 1, 16).unwrap(), "MA");
}

#[test]
fn a_token_that_asks_a_full_pool_in_a_loop_is_refused_before_the_search() {
    let mut registry = registry(FULL_OF_ONE);
    enrol(&mut registry, 1, 10).unwrap();
    connect(&mut registry);
    for _ in 0..6 {
        assert_eq!(enrol(&mut registry, 2, 11), Err(Refusal::PoolFull));
    }
    assert_eq!(enrol(&mut registry, 2, 11), Err(Refusal::TokenTooOften));
}

#[test]
fn a_token_may_ask_for_resting_addresses_until_they_have_rested() {
    let mut registry = registry(FULL_OF_ONE);
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None).unwrap();
    let id = registry.of_key(key(10)).unwrap();
    connect(&mut registry);
    let bearer = enrolled.client.preshared_key;
    registry.release(key(10), Some(&bearer)).unwrap();
    for _ in 0..20 {
        assert_eq!(enrol(&mut registry, 2, 11), Err(Refusal::AddressesRest));
    }
    registry.rested(id);
    assert_eq!(enrol(&mut registry, 2, 11).unwrap(), "A");
}
