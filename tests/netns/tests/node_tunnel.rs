//! A stock client, a node, and the internet behind it.

mod node_support;

use std::time::Duration;

use node_support::{Customer, Internet, World, eventually};

#[test]
fn a_stock_client_fetches_a_page_through_the_node_and_the_internet_sees_the_nodes_address() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    assert!(
        customer.fetch(Internet::IPV4).is_err(),
        "there is a way beside the tunnel"
    );

    customer.connect(&node, &world.accounts.token("ann", false));
    assert!(customer.fetch(Internet::IPV4).unwrap() == Internet::page());
    let nodes_address: std::net::IpAddr = "192.0.2.10".parse().unwrap();
    assert_eq!(world.internet.seen(), [nodes_address]);
}

#[test]
fn an_account_that_wants_ipv6_has_it_and_another_is_told_at_once_that_there_is_none() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &["--ipv6"]);
    world.accounts.create("bob", &[]);
    let mut ann = Customer::new(&world, 100);
    ann.connect(&node, &world.accounts.token("ann", false));
    assert!(ann.fetch(Internet::IPV6).unwrap() == Internet::page());
    let nodes_address: std::net::IpAddr = "2001:db8::10".parse().unwrap();
    assert_eq!(world.internet.seen(), [nodes_address]);

    let mut bob = Customer::new(&world, 101);
    bob.connect(&node, &world.accounts.token("bob", false));
    // Without an IPv6 address, his own kernel would refuse.
    bob.namespace.ip("addr add fd00:dead::1/128 dev lo nodad");
    let refused = bob.fetch(Internet::IPV6).unwrap_err();
    assert_eq!(
        refused.kind(),
        std::io::ErrorKind::PermissionDenied,
        "{refused}"
    );
    assert!(world.internet.seen().is_empty());
}

#[test]
fn a_customer_that_roams_keeps_its_session() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    customer.connect(&node, &world.accounts.token("ann", false));
    assert!(customer.fetch(Internet::IPV4).unwrap() == Internet::page());

    customer.namespace.ip("addr del 192.0.2.100/24 dev eth0");
    customer.namespace.ip("addr add 192.0.2.200/24 dev eth0");
    customer.rebind();
    assert!(customer.fetch(Internet::IPV4).unwrap() == Internet::page());
    world.devices_become("ann", 1);
}

#[test]
fn udp_garbage_of_any_length_moves_nothing() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    customer.connect(&node, &world.accounts.token("ann", false));
    customer.fetch(Internet::IPV4).unwrap();

    let before = resident_kib(node.pid());
    customer.namespace.within(|| {
        let socket = std::net::UdpSocket::bind("192.0.2.100:0").unwrap();
        let mut garbage = vec![0; 65_507];
        for (index, byte) in garbage.iter_mut().enumerate() {
            *byte = (index * 31 % 253) as u8;
        }
        for round in 0..4u8 {
            // Each of WireGuard's message types in turn.
            garbage[..4].copy_from_slice(&[round + 1, 0, 0, 0]);
            for length in (0..2000).chain((2000..65_507).step_by(997)).chain([65_507]) {
                let _ = socket.send_to(&garbage[..length], "192.0.2.10:51820");
            }
        }
    });
    assert!(customer.fetch(Internet::IPV4).unwrap() == Internet::page());
    let grown = resident_kib(node.pid()).saturating_sub(before);
    assert!(grown < 4096 + 64 * 64, "grown by {grown} KiB");
}

#[test]
fn nothing_of_the_customer_goes_beside_the_tunnel() {
    let world = World::new();
    let node = world.node("node-a", 10);
    world.accounts.create("ann", &[]);
    let mut customer = Customer::new(&world, 100);
    customer.connect(&node, &world.accounts.token("ann", false));
    customer.fetch(Internet::IPV4).unwrap();

    let capture = tempfile::NamedTempFile::new().unwrap();
    let mut tcpdump = customer.namespace.command("tcpdump");
    let beside = "not arp and not icmp6 and not (udp and host 192.0.2.10 and port 51820)";
    tcpdump
        .args(["-i", "eth0", "-Q", "out", "-U", "-n", "-w"])
        .arg(capture.path())
        .arg(beside);
    tcpdump.stderr(std::process::Stdio::null());
    let watching = customer.namespace.spawn(tcpdump);
    eventually("tcpdump writes its header", Duration::from_secs(5), || {
        (capture.path().metadata().unwrap().len() > 0).then_some(())
    });

    customer.namespace.within(|| {
        let dns = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        for resolver in ["198.51.100.80:53", "203.0.113.53:53"] {
            let _ = dns.send_to(&[0; 40], resolver);
        }
        let dns = std::net::UdpSocket::bind("[::]:0").unwrap();
        let _ = dns.send_to(&[0; 40], "[2001:db8:80::80]:53");
    });
    let _ = customer.fetch(Internet::IPV6);
    customer.fetch(Internet::IPV4).unwrap();
    drop(watching);
    const HEADER_ONLY: u64 = 24;
    assert_eq!(capture.path().metadata().unwrap().len(), HEADER_ONLY);
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
