//! Three network namespaces, and the links between them. Nothing is made outside.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use mayfly_host::namespace::Namespace;
use mayfly_host::teardown::Tag;

/// The node's IPv4 address on its uplink.
pub const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// The node's IPv6 address on its uplink.
pub const NODE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 2);
/// The operator's IPv4 address in the node's network.
pub const OPERATOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The operator's IPv6 address there.
pub const OPERATOR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
/// The account service.
pub const ACCOUNTS: SocketAddr = at(OPERATOR, 8443);
/// Where the node finds its settings.
pub const BUNDLE_AT: SocketAddr = at(OPERATOR, 8080);
/// The customer's own address.
pub const CUSTOMER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The internet's web server.
pub const PAGE_AT: SocketAddr = at(Ipv4Addr::new(198, 51, 100, 2), 80);
/// The resolver that clients are told of.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);
/// Memory of the guest, in MiB.
pub const GUEST_MIB: u32 = 128;
/// The hub's end of the guest's link.
pub const TAP: &str = "node0";
/// The customer's and the internet's end of their links.
pub const LINK: &str = "eth0";

const fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(address), port)
}

/// The namespaces and their links. They are removed when this is dropped.
#[derive(Debug)]
pub struct Lab {
    /// Router between the others, and the operator's machine.
    pub hub: Namespace,
    /// Everything beyond the node.
    pub internet: Namespace,
    /// A person with a WireGuard client.
    pub customer: Namespace,
    /// The run's name.
    pub tag: Tag,
    /// Distinguishes this lab from others of the run.
    label: String,
}

impl Lab {
    /// Makes namespaces, links, addresses and routes.
    ///
    /// # Errors
    /// The kernel or iproute2 refuses.
    pub fn make(tag: &Tag) -> Result<Self> {
        Self::beside(tag, "")
    }

    /// The same for one of several labs of a run. `label` is a short word, different in each.
    ///
    /// # Errors
    /// As [`Lab::make`].
    pub fn beside(tag: &Tag, label: &str) -> Result<Self> {
        let make = |role: &str| Namespace::make(tag, &format!("{label}{role}"));
        let lab = Self {
            hub: make("hub")?,
            internet: make("internet")?,
            customer: make("customer")?,
            tag: tag.clone(),
            label: label.to_owned(),
        };
        fs::create_dir_all(lab.file("")).context("cannot make a directory for the lab")?;
        lab.hub.ip(&format!("tuntap add dev {TAP} mode tap"))?;
        lab.hub.address(TAP, &format!("{OPERATOR}/24"))?;
        lab.hub.address(TAP, &format!("{OPERATOR_V6}/64"))?;
        lab.hub.ip(&format!("link set {TAP} up"))?;
        lab.attach(&lab.internet, "inet0", "198.51.100", "2001:db8:64")?;
        lab.attach(&lab.customer, "cust0", "203.0.113", "2001:db8:71")?;
        lab.hub.sysctl("net/ipv4/ip_forward", "1")?;
        lab.hub.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        Ok(lab)
    }

    /// A veth pair to `other`: .1 and ::1 are the hub, .2 and ::2 the other.
    fn attach(&self, other: &Namespace, name: &str, ipv4: &str, ipv6: &str) -> Result<()> {
        self.hub.connect(name, other, LINK)?;
        self.hub.address(name, &format!("{ipv4}.1/24"))?;
        self.hub.address(name, &format!("{ipv6}::1/64"))?;
        other.address(LINK, &format!("{ipv4}.2/24"))?;
        other.address(LINK, &format!("{ipv6}::2/64"))?;
        other.ip(&format!("route add default via {ipv4}.1"))?;
        other.ip(&format!("-6 route add default via {ipv6}::1"))
    }

    /// One more party with its own way to the node, like the customer.
    ///
    /// # Errors
    /// As [`Lab::make`].
    pub fn join(&self, role: &str, ipv4: &str, ipv6: &str) -> Result<Namespace> {
        let namespace = Namespace::make(&self.tag, &format!("{}{role}", self.label))?;
        self.attach(&namespace, role, ipv4, ipv6)?;
        Ok(namespace)
    }

    /// The name of a WireGuard interface. It must be unique on the whole machine: wireguard-go's
    /// sockets are in no namespace.
    pub fn interface(&self) -> String {
        format!("{}{}", self.tag.interface(), self.label)
    }

    /// Where the lab keeps its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.tag.directory().join(&self.label).join(name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for namespace in [&self.hub, &self.internet, &self.customer] {
            namespace.delete();
        }
    }
}
