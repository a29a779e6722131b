//! What the enrolment port accepts and refuses, and over which TLS.

mod node_support;

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::NamedGroup;
use serde_json::json;

use node_support::flood::{Flood, From, Kind};
use node_support::https::{self, Answer, all_groups, classical_groups};
use node_support::token::{FAR, claims, sign};
use node_support::{Customer, Internet, Node, World};

fn setting() -> (World, Node, Customer) {
    let world = World::new();
    let node = world.node("node-a", 10);
    let customer = Customer::new(&world, 100);
    (world, node, customer)
}

#[test]
fn a_bad_token_is_refused_by_the_name_of_what_is_wrong_with_it() {
    let (world, node, customer) = setting();
    let ours = world.accounts.services_key();
    let good = sign(&ours, &claims(7, FAR));
    let mut forged: Vec<_> = good.split('.').map(str::to_owned).collect();
    forged[1] = sign(&ours, &claims(7, FAR + 3600))
        .split('.')
        .nth(1)
        .unwrap()
        .to_owned();
    let header = sign(&ours, &claims(7, FAR)).replacen(
        "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9",
        "eyJhbGciOiJub25lIn0",
        1,
    );
    let by_public_key = EncodingKey::from_secret(ours.public_key_raw());
    let cases = [
        ("token-expired", sign(&ours, &claims(7, 1_600_000_000))),
        ("token-signature", forged.join(".")),
        (
            "token-signature",
            sign(
                &KeyPair::generate_for(&PKCS_ED25519).unwrap(),
                &claims(7, FAR),
            ),
        ),
        ("token-algorithm", header),
        (
            "token-algorithm",
            encode(
                &Header::new(Algorithm::HS256),
                &claims(7, FAR),
                &by_public_key,
            )
            .unwrap(),
        ),
        ("token-malformed", "not a token".to_owned()),
    ];
    for (reason, token) in cases {
        let answer = node.enrol(&customer, &token, None);
        assert_eq!((answer.status, answer.problem().as_str()), (401, reason));
    }
    assert_eq!(node.enrol(&customer, &good, None).status, 200);
}

#[test]
fn a_bad_request_is_refused_by_the_name_of_what_is_wrong_with_it() {
    let (world, node, customer) = setting();
    let token = sign(&world.accounts.services_key(), &claims(7, FAR));
    let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let peer = |key: &str| json!({"token": token, "public_key": key}).to_string();
    let cases = [
        ("POST /v1/peers", peer("c2hvcnQ="), 400, "body-malformed"),
        ("POST /v1/peers", peer(zero), 400, "key-low-order"),
        ("POST /v1/peers", "{".to_owned(), 400, "body-malformed"),
        ("POST /v1/peers", "[".repeat(16_000), 400, "body-malformed"),
        (
            "POST /v1/peers",
            " ".repeat(16 * 1024 + 1),
            413,
            "body-too-large",
        ),
        ("PUT /v1/peers", String::new(), 405, "no-such-method"),
        ("POST /v1/users", String::new(), 404, "no-such-route"),
        (
            "DELETE /v1/peers",
            json!({"public_key": zero}).to_string(),
            401,
            "not-the-peer",
        ),
    ];
    for (line, body, status, reason) in cases {
        let answer = node.ask(&customer, line, None, body.as_bytes());
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, reason),
            "{line}"
        );
    }
    assert_eq!(node.health().as_deref(), Some("ok"));
}

/// `POST /v1/peers` with the token and the key that have this number.
fn enrol_number(world: &World, node: &Node, customer: &Customer, number: u8) -> Answer {
    let token = sign(&world.accounts.services_key(), &claims(number, FAR));
    let key = STANDARD.encode([number | 1, number].repeat(16));
    let body = json!({"token": token, "public_key": key}).to_string();
    node.ask(customer, "POST /v1/peers", None, body.as_bytes())
}

#[test]
fn a_pool_whose_clients_are_connected_is_503_with_a_time_to_ask_again() {
    let world = World::new();
    let node = Node::with_pool(&world, "node-a", 10, "10.64.0.0/30");
    world.accounts.create("ann", &[]);
    let mut ann = Customer::new(&world, 100);
    ann.connect(&node, &world.accounts.token("ann", false));
    ann.fetch(Internet::IPV4).unwrap();
    node.wait_for("pool-full");
    let refused = enrol_number(&world, &node, &ann, 1);
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "pool-full")
    );
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
}

#[test]
fn enrolments_that_never_connect_keep_no_client_out_of_a_small_pool() {
    let world = World::new();
    let node = Node::with_pool(&world, "node-a", 10, "10.64.0.0/29");
    let mut customer = Customer::new(&world, 100);
    for number in 0..40 {
        let answer = enrol_number(&world, &node, &customer, number);
        assert_eq!(answer.status, 200, "{number}");
    }
    assert_eq!(node.health().as_deref(), Some("ok"));
    world.accounts.create("ann", &[]);
    customer.connect(&node, &world.accounts.token("ann", false));
    customer.fetch(Internet::IPV4).unwrap();
}

#[test]
fn a_token_in_a_loop_is_refused_by_name() {
    let (world, node, customer) = setting();
    let token = sign(&world.accounts.services_key(), &claims(1, FAR));
    let refused = (0..20).find_map(|number: u8| {
        let key = STANDARD.encode([number | 1, number].repeat(16));
        let body = json!({"token": token, "public_key": key}).to_string();
        let answer = node.ask(&customer, "POST /v1/peers", None, body.as_bytes());
        (answer.status != 200).then_some((number, answer))
    });
    let (number, refused) = refused.unwrap();
    assert_eq!(number, 6);
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (429, "token-too-often")
    );
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
}

#[test]
fn the_key_exchange_is_hybrid_where_the_client_offers_it_and_others_are_served() {
    let (_world, node, customer) = setting();
    for (groups, expected) in [
        (all_groups(), NamedGroup::X25519MLKEM768),
        (classical_groups(), NamedGroup::X25519),
    ] {
        let server = node.server();
        let ask = || https::request(&server, groups, "GET /v1/peers", &[], b"");
        let answer = customer.namespace.within(ask).unwrap();
        assert_eq!((answer.status, answer.group), (405, expected));
    }
}

#[test]
fn the_pre_shared_key_extends_and_releases_and_nothing_else_does() {
    let (world, node, customer) = setting();
    let ours = world.accounts.services_key();
    let first = node.enrol(&customer, &sign(&ours, &claims(1, FAR)), None);
    let second = sign(&ours, &claims(2, FAR));
    let taken = node.enrol(&customer, &second, None);
    assert_eq!((taken.status, taken.problem().as_str()), (409, "key-taken"));
    let granted = first.json();
    let psk = granted["preshared_key"].as_str().unwrap();
    let extended = node.enrol(&customer, &second, Some(psk));
    assert_eq!(extended.json()["addresses"], granted["addresses"]);

    assert_eq!(node.release(&customer, &customer.public_key).status, 401);
    assert_eq!(node.release(&customer, psk).status, 204);
    assert_eq!(node.release(&customer, psk).status, 401);
}

/// How long an enrolment may take while others hold every connection that they can get.
const IN_TIME: Duration = Duration::from_secs(3);

/// What clients may make the daemon grow by, in KiB (see `crates/node/src/serve.rs`).
const GROWTH: u64 = 23 * 1024;

impl Node {
    /// The most memory that the daemon has had, in KiB.
    fn peak(&self) -> u64 {
        let peak = self.threads("VmHWM");
        peak[0].trim_end_matches(" kB").parse().unwrap()
    }
}

/// Others take connections in every way, in this number each. Meanwhile a customer enrols.
fn enrols_beside(from: From, kinds: &[Kind], number: usize) {
    let (world, node, customer) = setting();
    let ours = world.accounts.services_key();
    let machine = Flood::machine(&world);
    let before = node.peak();
    for (ticket, kind) in kinds.iter().enumerate() {
        let _flood = Flood::begin(&machine, &node.server(), *kind, from, number);
        let token = sign(&ours, &claims(ticket as u8, FAR));
        let begun = Instant::now();
        let key = format!("{:A<42}E=", ticket);
        let body = json!({"token": token, "public_key": key}).to_string();
        let answer = node.ask(&customer, "POST /v1/peers", None, body.as_bytes());
        let took = begun.elapsed();
        assert_eq!(answer.status, 200);
        assert!(took < IN_TIME, "{kind:?} {from:?} {number}: {took:?}");
        let grown = node.peak() - before;
        assert!(grown < GROWTH, "{kind:?} {from:?} {number}: {grown} KiB");
    }
}

const UNFINISHED: [Kind; 3] = [Kind::Silent, Kind::Slow, Kind::HalfOpen];

#[test]
fn a_client_enrols_while_sixteen_addresses_hold_connections_without_a_handshake() {
    enrols_beside(From::Sixteen, &UNFINISHED, 512);
    enrols_beside(From::Sixteen, &UNFINISHED, 5000);
}

#[test]
fn a_client_enrols_while_a_60_bit_prefix_holds_connections_without_a_handshake() {
    enrols_beside(From::Bits60, &UNFINISHED, 512);
    enrols_beside(From::Bits60, &UNFINISHED, 5000);
}

#[test]
fn a_client_enrols_while_a_56_bit_prefix_holds_connections_without_a_handshake() {
    enrols_beside(From::Bits56, &UNFINISHED, 512);
    enrols_beside(From::Bits56, &UNFINISHED, 5000);
}

#[test]
fn a_client_enrols_while_others_send_heads_without_end() {
    enrols_beside(From::Bits56, &[Kind::Head], 512);
}

#[test]
fn a_monitor_is_answered_while_others_hold_connections_to_the_health_port() {
    let world = World::new();
    // The flood's addresses are monitors' own, as those of a monitor that is broken would be.
    let node = Node::with(&world, "node-a", 10, "192.0.2.1/32", "192.0.2.0/24");
    let machine = Flood::machine(&world);
    let mut server = node.server();
    server.address.set_port(9180);
    let _flood = Flood::begin(&machine, &server, Kind::Silent, From::Sixteen, 512);
    let begun = Instant::now();
    assert_eq!(node.health().as_deref(), Some("ok"));
    assert!(begun.elapsed() < IN_TIME);
}
