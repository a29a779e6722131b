use std::time::Duration;

use mayfly_wire::TICKET_LEN;

use super::*;
use crate::settings::Settings;

const FULL_OF_ONE: &str = "10.64.0.0/30";

fn registry(ipv4: &str) -> Registry {
    let text = include_str!("../../example.toml").replace("10.64.0.0/16", ipv4);
    let settings = Settings::parse("example.toml", &text).unwrap();
    Registry::new(&settings.pools, key(99), [7; 32])
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
    let now = Instant::now();
    registry
        .enrol(&token(ticket, 3600), key(number), None, now)
        .map(|(_, changes)| letters(&changes))
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
    assert!(registry.is_full());
    assert_eq!(enrol(&mut registry, 1, 11).unwrap(), "MA");
    assert_eq!(enrol(&mut registry, 2, 12), Err(Refusal::PoolFull));
}

#[test]
fn the_same_key_and_token_again_get_the_same_answer() {
    let mut registry = registry("10.64.0.0/24");
    let now = Instant::now();
    let (first, _) = registry.enrol(&token(1, 3600), key(10), None, now).unwrap();
    let (again, changes) = registry.enrol(&token(1, 3600), key(10), None, now).unwrap();
    assert!(changes.is_empty());
    assert!(
        first.client.preshared_key == again.client.preshared_key
            && first.client.ipv4 == again.client.ipv4
    );
}

#[test]
fn a_key_of_another_token_is_taken_unless_the_bearer_is_its_pre_shared_key() {
    let mut registry = registry("10.64.0.0/24");
    let now = Instant::now();
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None, now).unwrap();
    let wrong = PresharedKey([0; 32]);
    for bearer in [None, Some(&wrong)] {
        let refused = registry.enrol(&token(2, 7200), key(10), bearer, now);
        assert_eq!(refused.err(), Some(Refusal::KeyTaken));
    }
    let bearer = Some(&enrolled.client.preshared_key);
    let (extended, changes) = registry
        .enrol(&token(2, 7200), key(10), bearer, now)
        .unwrap();
    assert_eq!(letters(&changes), "R");
    assert_eq!(extended.expires, 7200);
    assert!(extended.client.ipv4 == enrolled.client.ipv4);
    // The first token may be spent again: it no longer has a key here.
    assert_eq!(enrol(&mut registry, 1, 11).unwrap(), "A");
}

#[test]
fn an_extension_by_a_token_that_has_another_key_takes_that_keys_place() {
    let mut registry = registry("10.64.0.0/24");
    let now = Instant::now();
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None, now).unwrap();
    enrol(&mut registry, 2, 11).unwrap();
    let bearer = Some(&enrolled.client.preshared_key);
    let (_, changes) = registry
        .enrol(&token(2, 3600), key(10), bearer, now)
        .unwrap();
    assert_eq!(letters(&changes), "MR");
    assert_eq!(registry.enrolments.len(), 1);
}

#[test]
fn a_token_with_another_add_on_enrols_the_key_anew_in_its_pool() {
    let mut registry = registry("10.64.0.0/24");
    let now = Instant::now();
    let (enrolled, _) = registry.enrol(&token(1, 3600), key(10), None, now).unwrap();
    let bearer = Some(&enrolled.client.preshared_key);
    let streaming = Claims {
        streaming: true,
        ..token(2, 3600)
    };
    let (moved, changes) = registry.enrol(&streaming, key(10), bearer, now).unwrap();
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
    let (enrolled, _) = registry
        .enrol(&wants, key(10), None, Instant::now())
        .unwrap();
    assert!(enrolled.client.ipv6.is_some());
    let (enrolled, _) = registry
        .enrol(&token(2, 3600), key(11), None, Instant::now())
        .unwrap();
    assert!(enrolled.client.ipv6.is_none());
}

#[test]
fn a_low_order_key_is_refused() {
    let mut registry = registry("10.64.0.0/24");
    assert_eq!(enrol(&mut registry, 1, 0), Err(Refusal::KeyLowOrder));
    let one = PublicKey([&[1][..], &[0; 31]].concat().try_into().unwrap());
    let refused = registry.enrol(&token(1, 3600), one, None, Instant::now());
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
    let (enrolled, _) = registry
        .enrol(&token(1, 3600), key(10), None, Instant::now())
        .unwrap();
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
    let now = Instant::now();
    let (_, changes) = registry.enrol(&token(1, 3600), key(10), None, now).unwrap();
    let Some(Change::Add(id, _)) = changes.first() else {
        panic!("a new key is added");
    };
    let (session, _) = registry.session_up(*id).unwrap();
    assert!(registry.deny(session, now).is_some());
    let at = |seconds| now + Duration::from_secs(seconds);
    let refused = registry.enrol(&token(2, 3600), key(10), None, at(599));
    assert_eq!(refused.err(), Some(Refusal::KeyBarred));
    assert!(
        registry
            .enrol(&token(2, 3600), key(10), None, at(600))
            .is_ok()
    );
}

#[test]
fn everybody_is_found_by_key_and_ticket_however_many_there_are() {
    let mut registry = registry("10.64.0.0/16");
    let now = Instant::now();
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
        let enrolled = registry.enrol(&claims(number), key(number), None, now);
        assert_eq!(letters(&enrolled.unwrap().1), "A");
    }
    for number in 0..1000 {
        let again = registry.enrol(&claims(number), key(number), None, now);
        assert_eq!(letters(&again.unwrap().1), "");
    }
}
