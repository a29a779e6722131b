//! The kernel's connections of a peer are deleted when the peer goes.

mod node_support;

use std::fs;
use std::time::Duration;

use node_support::{Customer, Internet, Node, World, eventually};

/// How long the janitor may take.
const SOON: Duration = Duration::from_secs(5);

impl Node {
    /// How many connections of an inner address the node's kernel holds.
    fn connections_of(&self, inner: &str) -> usize {
        let table = format!("/proc/{}/net/nf_conntrack", self.pid());
        let table = fs::read_to_string(table).unwrap();
        let of_inner = |word: &str| {
            let address = word
                .strip_prefix("src=")
                .or_else(|| word.strip_prefix("dst="));
            address.is_some_and(|address| {
                address.parse::<std::net::IpAddr>().ok() == inner.parse().ok()
            })
        };
        let lines = table.lines();
        lines.filter(|line| line.split(' ').any(of_inner)).count()
    }

    /// The process that the daemon started.
    fn janitor(&self) -> u32 {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.trim().parse().unwrap()
    }
}

fn inner(granted: &serde_json::Value) -> Vec<String> {
    let addresses = granted["addresses"].as_array().unwrap();
    let bare = |address: &serde_json::Value| {
        let address = address.as_str().unwrap();
        address.split('/').next().unwrap().to_owned()
    };
    addresses.iter().map(bare).collect()
}

#[test]
fn the_connections_of_a_peer_that_releases_are_forgotten_and_no_others() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let connected = |user: &str, host| {
        world.accounts.create(user, &["--ipv6"]);
        let mut customer = Customer::new(&world, host);
        let granted = customer.connect(&node, &world.accounts.token(user, false));
        customer.fetch(Internet::IPV4).unwrap();
        customer.fetch(Internet::IPV6).unwrap();
        (customer, granted)
    };
    let (ann, granted) = connected("ann", 100);
    let (_bob, of_bob) = connected("bob", 101);
    let (of_ann, of_bob) = (inner(&granted), inner(&of_bob));
    assert_eq!(of_ann.len(), 2);
    for address in of_ann.iter().chain(&of_bob) {
        assert!(node.connections_of(address) > 0, "{address}");
    }

    let bearer = granted["preshared_key"].as_str().unwrap();
    assert_eq!(node.release(&ann, bearer).status, 204);
    eventually("the janitor has been there", SOON, || {
        let left = of_ann.iter().map(|address| node.connections_of(address));
        (left.sum::<usize>() == 0).then_some(())
    });
    for address in &of_bob {
        assert!(node.connections_of(address) > 0, "{address}");
    }
}

#[test]
fn the_janitor_has_two_descriptors_and_one_right() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let janitor = node.janitor();
    let status = fs::read_to_string(format!("/proc/{janitor}/status")).unwrap();
    for line in [
        "Threads:\t1",
        "Seccomp:\t2",
        "NoNewPrivs:\t1",
        "Uid:\t65531\t65531\t65531\t65531",
        // CAP_NET_ADMIN is 12 (linux/capability.h).
        "CapEff:\t0000000000001000",
        "CapPrm:\t0000000000001000",
        "CapInh:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
    ] {
        assert!(
            status.lines().any(|found| found == line),
            "{line}: {status}"
        );
    }
    let descriptors = fs::read_dir(format!("/proc/{janitor}/fd")).unwrap();
    let mut held: Vec<_> = descriptors
        .map(|descriptor| fs::read_link(descriptor.unwrap().path()).unwrap())
        .map(|target| {
            target
                .to_str()
                .unwrap()
                .split(':')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    held.sort();
    assert_eq!(
        held,
        ["/dev/null", "/dev/null", "/dev/null", "socket", "socket"]
    );
}

#[test]
fn a_daemon_without_its_janitor_ends() {
    let world = World::new();
    let mut node = world.node("node-a", 10);
    let janitor = node.janitor().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-9", &janitor])
        .status();
    assert!(kill.unwrap().success());
    let status = eventually("the daemon ends", SOON, || {
        node.process.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(70));
}
