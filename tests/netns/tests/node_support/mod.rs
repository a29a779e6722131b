//! A small world: an account service, nodes, customers with a stock client, an internet.
//!
//! ```text
//!   customer ---+
//!   customer ---+--- wire (a bridge, 192.0.2.1/24, 2001:db8::1/64; routes) --- internet
//!   node -------+         |                                        198.51.100.80, 2001:db8:80::80
//!   node -------+     mayfly-accounts, 192.0.2.1:8443
//! ```
//!
//! A customer's only way to the internet is the tunnel: it has no other route.

#![allow(dead_code, reason = "each test file uses its part of the world")]

pub(crate) mod accounts;
pub(crate) mod customer;
pub(crate) mod flood;
pub(crate) mod https;
pub(crate) mod internet;
pub(crate) mod node;
pub(crate) mod packets;
pub(crate) mod tap;
pub(crate) mod token;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use mayfly_netns::{Namespace, veth};

pub(crate) use accounts::Accounts;
pub(crate) use customer::Customer;
pub(crate) use internet::Internet;
pub(crate) use node::Node;

/// How long the world may take to do what it was asked to do.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a session may take to be counted: a service that has just started grants nothing new
/// for 30 s, and a denied +1 is asked again after 10 s (rules 5 and 6 of
/// `crates/counter/PROTOCOL.md`).
const COUNTED: Duration = Duration::from_secs(50);

/// All of it. The fields are taken down in their order here.
pub(crate) struct World {
    pub internet: Internet,
    pub accounts: Accounts,
    pub wire: Namespace,
}

impl World {
    pub(crate) fn new() -> Self {
        let wire = Namespace::new("wire");
        // Otherwise the bridge takes the lowest address of its ports, and changes it when ports
        // come.
        wire.ip("link add bridge address 02:00:00:00:00:01 type bridge");
        wire.ip("addr add 192.0.2.1/24 dev bridge");
        wire.ip("addr add 2001:db8::1/64 dev bridge nodad");
        wire.ip("link set bridge up");
        wire.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        let internet = Internet::new(&wire);
        let accounts = Accounts::new(&wire);
        Self {
            internet,
            accounts,
            wire,
        }
    }

    /// A namespace on the bridge, with an `eth0`.
    pub(crate) fn join(&self, role: &str, host: u8) -> Namespace {
        let namespace = Namespace::new(role);
        let ipv4: IpAddr = [192, 0, 2, host].into();
        let ipv6: IpAddr = format!("2001:db8::{host}").parse().unwrap();
        let port = format!("port{host}");
        veth(
            (&self.wire, &port, &[]),
            (&namespace, "eth0", &[(ipv4, 24), (ipv6, 64)]),
        );
        self.wire.ip(&format!("link set {port} master bridge"));
        namespace
    }

    /// A node on the bridge that is admitted and has its counter stream.
    pub(crate) fn node(&self, name: &str, host: u8) -> Node {
        let node = Node::start(self, name, host);
        node.wait_for("ok");
        node
    }

    pub(crate) fn devices_become(&self, user: &str, devices: u64) {
        eventually(&format!("devices become {devices}"), COUNTED, || {
            (self.accounts.devices(user) == devices).then_some(())
        });
    }
}

/// A program of this workspace, built from the same sources as this test.
pub(crate) fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let packages = ["mayfly-node", "mayfly-accounts", "mayfly-attack"];
        let mut build = Command::new(env!("CARGO"));
        let built = build
            .args(["build", "--quiet"])
            .args(packages.iter().flat_map(|package| ["-p", package]))
            .status()
            .unwrap();
        assert!(built.success(), "the programs do not build");
    });
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().join(name)
}

/// Calls `look` until it returns something.
pub(crate) fn eventually<T>(
    what: &str,
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
