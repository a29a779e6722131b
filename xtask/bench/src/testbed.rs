//! Three namespaces: the server's, with a bridge for its uplink, and one at each end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::namespace::Namespace;
use mayfly_host::process;
use mayfly_host::teardown::Tag;

use super::plan::Setup;

/// The server's interface.
pub(crate) const UPLINK: &str = "eth0";
/// The server's addresses.
pub(crate) const SERVER: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(192, 0, 2, 1),
    Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1),
);
/// The address of the clients and of the account service.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);
/// The other end of every load: behind a router, because a node's neighbours on its link are closed
/// to customers.
pub(crate) const INTERNET: (Ipv4Addr, Ipv6Addr) = (
    Ipv4Addr::new(203, 0, 113, 80),
    Ipv6Addr::new(0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80),
);
/// That router's addresses on the link. It is the same machine.
const ROUTER: (&str, &str) = ("192.0.2.80", "2001:db8::80");
/// The link itself.
const LINK: (&str, &str) = ("192.0.2.0/24", "2001:db8::/64");

const LIMIT: Duration = Duration::from_secs(20);

/// The namespaces. They are removed when this is dropped.
pub(crate) struct Testbed {
    /// Where the server is.
    pub server: Namespace,
    /// Where the clients are.
    pub client: Namespace,
    /// Where the load comes from or goes to.
    pub internet: Namespace,
    /// The run's name.
    pub tag: Tag,
}

impl Testbed {
    /// Makes it.
    ///
    /// # Errors
    /// The kernel, iproute2 or ethtool refuses.
    pub(crate) fn make(tag: &Tag, setup: Setup) -> Result<Self> {
        let testbed = Self {
            server: Namespace::make(tag, "server")?,
            client: Namespace::make(tag, "client")?,
            internet: Namespace::make(tag, "internet")?,
            tag: tag.clone(),
        };
        let bridge = format!("link add {UPLINK} address 02:00:00:00:00:01 type bridge");
        testbed.server.ip(&bridge)?;
        testbed.attach(&testbed.client, "client0", "9", setup)?;
        testbed.attach(&testbed.internet, "inet0", "80", setup)?;
        addresses(&testbed.server, "1")?;
        let internet = [INTERNET.0.to_string(), INTERNET.1.to_string()];
        let ways = [(LINK.0, ROUTER.0), (LINK.1, ROUTER.1)];
        for (own, (link, router)) in internet.iter().zip(ways) {
            testbed.internet.address("lo", own)?;
            // iperf3 answers the first datagram with the address that its system prefers.
            let answers = format!("route replace {link} dev {UPLINK} src {own}");
            testbed.internet.ip(&answers)?;
            testbed
                .server
                .ip(&format!("route add {own} via {router}"))?;
        }
        testbed.server.sysctl("net/ipv4/ip_forward", "1")?;
        testbed.server.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        Ok(testbed)
    }

    fn attach(&self, other: &Namespace, port: &str, host: &str, setup: Setup) -> Result<()> {
        self.server.connect(port, other, UPLINK)?;
        self.server
            .ip(&format!("link set {port} master {UPLINK}"))?;
        addresses(other, host)?;
        if !setup.uso {
            for (namespace, link) in [(&self.server, port), (other, UPLINK)] {
                let words = ["ethtool", "-K", link, "tx-udp-segmentation", "off"];
                process::output(&mut namespace.command(words), "ethtool", LIMIT)?;
            }
        }
        Ok(())
    }

    /// An address beyond the internet's end, at which packets end without an answer.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub(crate) fn beyond(&self) -> Result<Ipv4Addr> {
        self.server
            .ip(&format!("route add 198.51.100.0/24 via {}", ROUTER.0))?;
        Ok(Ipv4Addr::new(198, 51, 100, 1))
    }

    /// Gives the clients' namespace every address of a network, and returns them.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub(crate) fn many_clients(&self) -> Result<impl Iterator<Item = Ipv4Addr>> {
        self.client.ip("route add local 198.18.0.0/24 dev lo")?;
        self.server
            .ip(&format!("route add 198.18.0.0/24 via {CLIENT}"))?;
        Ok((1..=254).map(|host| Ipv4Addr::new(198, 18, 0, host)))
    }

    /// Where the run keeps its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.tag.directory().join(name)
    }

    /// Masquerades everything that comes out of a tunnel.
    ///
    /// # Errors
    /// nft refuses.
    pub(crate) fn masquerade(&self) -> Result<()> {
        let rules = "table inet bench {\n  chain out {\n    \
             type nat hook postrouting priority 100\n    \
             ip saddr 10.64.0.0/16 masquerade\n    \
             ip6 saddr fd00:64::/64 masquerade\n  }\n}\n";
        let path = self.file("masquerade.nft");
        std::fs::write(&path, rules).context("cannot write the rules")?;
        let mut command = self.server.command(["nft", "-f"]);
        process::output(command.arg(&path), "nft", LIMIT).map(|_| ())
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        for namespace in [&self.server, &self.client, &self.internet] {
            namespace.delete();
        }
    }
}

/// The internet's address of a family.
pub(crate) fn internet(v6: bool) -> IpAddr {
    if v6 {
        INTERNET.1.into()
    } else {
        INTERNET.0.into()
    }
}

fn addresses(namespace: &Namespace, host: &str) -> Result<()> {
    namespace.address(UPLINK, &format!("192.0.2.{host}/24"))?;
    namespace.address(UPLINK, &format!("2001:db8::{host}/64"))?;
    namespace.ip(&format!("link set {UPLINK} up"))
}
