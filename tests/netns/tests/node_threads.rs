//! A node with a packet thread for each processor. Every customer belongs to one of them. If the
//! kernel brings its packets to another thread, none is lost and none overtakes another.

mod node_support;

use std::collections::BTreeSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use node_support::{Customer, Internet, World};

/// Flows, each of which any thread may get, and the datagrams of each. One socket holds all of
/// them.
const FLOWS: u8 = 16;
const DATAGRAMS: u8 = 12;

#[test]
fn each_packet_thread_keeps_to_a_processor_of_its_own() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let names = node.threads("Name");
    let processors = node.threads("Cpus_allowed_list");
    let threads = names.iter().zip(&processors);
    let kept: Vec<_> = threads.filter(|(name, _)| *name == "packets").collect();
    let all = std::thread::available_parallelism().unwrap().get();
    assert_eq!(kept.len(), all);
    let distinct: BTreeSet<_> = kept.iter().map(|(_, processor)| processor).collect();
    assert_eq!(distinct.len(), all, "{distinct:?}");
    assert!(distinct.iter().all(|list| list.parse::<u32>().is_ok()));
}

#[test]
fn customers_of_different_threads_fetch_pages_at_once() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let customers: Vec<_> = (100..104)
        .map(|host| {
            let mut customer = Customer::new(&world, host);
            customer.connect(&node, &world.accounts.token("ann", false));
            customer
        })
        .collect();
    std::thread::scope(|scope| {
        for customer in &customers {
            scope.spawn(|| assert!(customer.fetch(Internet::IPV4).unwrap() == Internet::page()));
        }
    });
    world.devices_become("ann", 4);
}

#[test]
fn flows_that_no_client_began_arrive_in_order_whichever_thread_has_them() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    let granted = customer.connect(&node, &world.accounts.token("ann", false));
    customer.fetch(Internet::IPV4).unwrap();
    let address = granted["addresses"][0].as_str().unwrap();
    let address = address.split('/').next().unwrap();

    let socket = customer
        .namespace
        .within(|| UdpSocket::bind((address, 0)).unwrap());
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let here = socket.local_addr().unwrap();
    // The node's firewall lets neither the node nor the internet begin a flow.
    node.namespace
        .run("nft insert rule inet mayfly output accept");
    send_flows(&node.namespace, here);
    let mut next = vec![0; FLOWS.into()];
    let mut datagram = [0; 8];
    for _ in 0..u32::from(FLOWS) * u32::from(DATAGRAMS) {
        assert_eq!(socket.recv(&mut datagram).unwrap(), 2);
        let [flow, number, ..] = datagram;
        assert_eq!(number, next[usize::from(flow)], "flow {flow}");
        next[usize::from(flow)] += 1;
    }
}

/// Sends from the node itself.
fn send_flows(node: &mayfly_netns::Namespace, to: SocketAddr) {
    node.within(|| {
        let flows: Vec<_> = (0..FLOWS)
            .map(|_| UdpSocket::bind("10.64.0.1:0").unwrap())
            .collect();
        for number in 0..DATAGRAMS {
            for (flow, socket) in (0..FLOWS).zip(&flows) {
                socket.send_to(&[flow, number], to).unwrap();
            }
        }
    });
}
