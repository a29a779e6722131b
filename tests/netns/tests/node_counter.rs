//! The counter and the sessions, with the real daemon and the real account service. "Rule N" is
//! rule N of `crates/counter/PROTOCOL.md`.

mod node_support;

use std::time::{Duration, Instant};

use serde_json::Value;

use node_support::{Customer, Internet, Node, World, eventually};

fn psk(granted: &Value) -> &str {
    granted["preshared_key"].as_str().unwrap()
}

/// Customers at `hosts`, connected to a node. Each has fetched the page.
fn connected(world: &World, node: &Node, hosts: std::ops::Range<u8>) -> Vec<Customer> {
    let connect = |host| {
        let mut customer = Customer::new(world, host);
        customer.connect(node, &world.accounts.token("ann", false));
        customer.fetch(Internet::IPV4).unwrap();
        customer
    };
    hosts.map(connect).collect()
}

#[test]
fn devices_go_up_on_the_first_transport_packet_and_down_on_release() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    let token = world.accounts.token("ann", false);

    let granted = node.enrol(&customer, &token, None).json();
    assert_eq!(
        world.accounts.devices("ann"),
        0,
        "an enrolment is no session"
    );
    customer.bring_up(&granted);
    customer.fetch(Internet::IPV4).unwrap();
    world.devices_become("ann", 1);

    assert_eq!(node.release(&customer, psk(&granted)).status, 204);
    world.devices_become("ann", 0);
    assert!(customer.fetch(Internet::IPV4).is_err());
}

#[test]
fn a_renewed_token_keeps_the_session_and_the_count() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    let granted = customer.connect(&node, &world.accounts.token("ann", false));
    customer.fetch(Internet::IPV4).unwrap();
    world.devices_become("ann", 1);

    let fresh = world.accounts.token("ann", true);
    let renewed = node.enrol(&customer, &fresh, Some(psk(&granted)));
    assert_eq!(renewed.status, 200);
    assert_eq!(renewed.json()["preshared_key"], granted["preshared_key"]);
    assert!(customer.fetch(Internet::IPV4).unwrap() == Internet::page());
    assert_eq!(world.accounts.devices("ann"), 1);

    assert_eq!(node.release(&customer, psk(&granted)).status, 204);
    world.devices_become("ann", 0);
}

#[test]
fn a_second_key_under_one_token_takes_the_place_of_the_first() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let token = world.accounts.token("ann", false);
    let (mut first, mut second) = (Customer::new(&world, 100), Customer::new(&world, 101));
    first.connect(&node, &token);
    first.fetch(Internet::IPV4).unwrap();
    world.devices_become("ann", 1);
    second.connect(&node, &token);
    second.fetch(Internet::IPV4).unwrap();
    assert!(first.fetch(Internet::IPV4).is_err());
    world.devices_become("ann", 1);
}

#[test]
fn a_fifth_device_gets_no_token_and_with_anyway_is_served_but_not_counted() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let _four = connected(&world, &node, 100..104);
    world.devices_become("ann", 4);

    let refused = world.accounts.ask_token("ann", false);
    assert_eq!(refused.status, 409);
    let title = refused.json()["title"].as_str().unwrap().to_owned();
    assert!(title.contains("4 of 4 devices connected"), "{title}");

    let mut fifth = Customer::new(&world, 104);
    fifth.connect(&node, &world.accounts.token("ann", true));
    fifth.fetch(Internet::IPV4).unwrap();
    assert_eq!(world.accounts.devices("ann"), 4);
}

#[test]
fn one_of_four_devices_moves_to_another_node_and_loses_no_more_than_the_handshake() {
    let world = World::new();
    let (a, b) = (world.node("node-a", 10), world.node("node-b", 11));
    world.accounts.create("ann", &[]);
    let mut four = connected(&world, &a, 100..104);
    world.devices_become("ann", 4);

    let moving = &mut four[0];
    let granted = b
        .enrol(moving, &world.accounts.token("ann", true), None)
        .json();
    moving.bring_up(&granted);
    let began = Instant::now();
    assert!(moving.fetch(Internet::IPV4).unwrap() == Internet::page());
    // A lost packet before the handshake costs a second (RFC 6298 section 2.1).
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(
        world.internet.seen().last(),
        Some(&"192.0.2.11".parse().unwrap())
    );
    for customer in &four {
        customer.fetch(Internet::IPV4).unwrap();
    }
    assert_eq!(world.accounts.devices("ann"), 4);
}

#[test]
fn the_node_serves_although_the_account_service_was_away_at_its_start() {
    let mut world = World::new();
    world.accounts.create("ann", &[]);
    let token = world.accounts.token("ann", false);
    world.accounts.stop();
    let node = Node::start(&world, "node-a", 10);
    node.wait_for("counter-away");
    world.accounts.start(&world.wire);
    node.wait_for("ok");
    let mut customer = Customer::new(&world, 100);
    customer.connect(&node, &token);
    customer.fetch(Internet::IPV4).unwrap();
    world.devices_become("ann", 1);
}

#[test]
fn live_sessions_survive_the_services_absence_and_are_counted_after_it() {
    let mut world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut before = Customer::new(&world, 100);
    before.connect(&node, &world.accounts.token("ann", false));
    before.fetch(Internet::IPV4).unwrap();
    world.devices_become("ann", 1);
    let token = world.accounts.token("ann", false);

    world.accounts.stop();
    node.wait_for("counter-away");
    assert!(before.fetch(Internet::IPV4).unwrap() == Internet::page());
    let mut meanwhile = Customer::new(&world, 101);
    meanwhile.connect(&node, &token);
    meanwhile.fetch(Internet::IPV4).unwrap();

    world.accounts.start(&world.wire);
    node.wait_for("ok");
    before.fetch(Internet::IPV4).unwrap();
    // The session that was granted before is counted at once. The one that began in the meantime is
    // counted within the 30 s after a restart (rule 5) and one more ask.
    world.devices_become("ann", 1);
    eventually("both are counted", Duration::from_secs(60), || {
        (world.accounts.devices("ann") == 2).then_some(())
    });
}

#[test]
fn a_node_that_is_told_to_stop_takes_its_devices_off_at_once() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let _two = connected(&world, &node, 100..102);
    world.devices_become("ann", 2);
    node.terminate();
    // If the stream only died, its devices would stay for the 30 s of grace (rule 4).
    world.devices_become("ann", 0);
}

#[test]
fn a_node_that_the_operator_drains_takes_nobody_more_and_serves_who_is_there() {
    let mut world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut there = Customer::new(&world, 100);
    let granted = there.connect(&node, &world.accounts.token("ann", false));
    there.fetch(Internet::IPV4).unwrap();

    world.accounts.drain("node-a", true);
    eventually("it drains", Duration::from_secs(70), || {
        (node.health()? == "draining").then_some(())
    });
    let token = world.accounts.token("ann", true);
    let other = Customer::new(&world, 101);
    for refused in [
        node.enrol(&other, &token, None),
        node.enrol(&there, &token, Some(psk(&granted))),
    ] {
        assert_eq!(
            (refused.status, refused.problem().as_str()),
            (503, "draining")
        );
    }
    assert!(there.fetch(Internet::IPV4).unwrap() == Internet::page());
    assert_eq!(world.accounts.devices("ann"), 1);

    world.accounts.drain("node-a", false);
    world.accounts.stop();
    world.accounts.start(&world.wire);
    node.wait_for("ok");
    assert_eq!(node.enrol(&other, &token, None).status, 200);
}

#[test]
fn of_two_machines_with_one_identity_the_earlier_drains_and_stays_down() {
    let world = World::new();
    let first = world.node("node-a", 10);
    let second = Node::start_with(&world, "node-a", 11, &first.secret);
    second.wait_for("ok");
    first.wait_for("identity-clash");
    let customer = Customer::new(&world, 100);
    let refused = first.enrol(&customer, "any", None);
    assert_eq!(
        (refused.status, refused.problem().as_str()),
        (503, "identity-clash")
    );
}
