//! Which packets may move an endpoint.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use mayfly_sim::packet::{INITIATION, TRANSPORT};
use mayfly_sim::{Sim, Way};
use mayfly_tunnel::{Endpoint, Refusal};

const SECOND: Duration = Duration::from_secs(1);

fn elsewhere() -> Endpoint {
    Endpoint {
        remote: SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9), 40_000)),
        local: Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
    }
}

/// Whether the node's next packet goes where the client is.
fn answers_reach(sim: &mut Sim, client: usize) -> bool {
    sim.answer(client, b"where?").unwrap();
    sim.wire.last().unwrap().endpoint == sim.clients[client].endpoint
}

#[test]
fn a_client_that_moved_is_answered_at_its_new_place_from_the_address_it_spoke_to() {
    let (mut sim, client) = Sim::connected();
    assert!(answers_reach(&mut sim, client));
    sim.clients[client].endpoint = elsewhere();
    assert!(!answers_reach(&mut sim, client), "the node cannot know yet");
    sim.send(client, b"here");
    sim.drive(SECOND);
    assert!(answers_reach(&mut sim, client));
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
    assert_eq!(sim.seen(Way::Up, INITIATION).len(), 1);
}

#[test]
fn neither_a_replayed_nor_a_forged_packet_moves_the_endpoint() {
    let (mut sim, client) = Sim::connected();
    let recorded = sim.seen(Way::Up, TRANSPORT).last().unwrap().bytes.clone();
    assert_eq!(
        sim.inject(elsewhere(), &recorded),
        Err(Refusal::NotAuthentic)
    );
    let mut forged = sim.seal(client, b"never arrives");
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(sim.inject(elsewhere(), &forged), Err(Refusal::NotAuthentic));
    assert!(answers_reach(&mut sim, client));
}

#[test]
fn an_initiation_moves_nothing_until_a_transport_packet_follows() {
    let (mut sim, client) = Sim::connected();
    // At 120 s the client rekeys; the initiation is caught and comes in from elsewhere.
    sim.drive(120 * SECOND);
    sim.send(client, b"old enough");
    sim.loss = 100;
    sim.drive(SECOND);
    let initiation = sim.seen(Way::Up, INITIATION).last().unwrap().bytes.clone();
    assert_eq!(sim.inject(elsewhere(), &initiation), Ok(()));
    assert!(
        sim.wire.last().unwrap().endpoint == elsewhere(),
        "the answer goes to the source"
    );
    assert!(answers_reach(&mut sim, client));
    assert_eq!((sim.ups(client), sim.downs(client)), (1, 0));
}
