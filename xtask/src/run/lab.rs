//! Three network namespaces, and the links between them. Nothing is made outside.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::process;
use crate::teardown::{self, Tag};

/// The node's only address outside.
pub const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Where the node takes clients.
pub const ENROLMENT_PORT: u16 = 443;
/// Where the node takes WireGuard datagrams.
pub const WIREGUARD_PORT: u16 = 51820;
/// Where the node says how it is.
pub const HEALTHZ: SocketAddr = at(NODE, 9180);
/// The operator, as the node's network sees it.
pub const OPERATOR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// The account service.
pub const ACCOUNTS: SocketAddr = at(OPERATOR, 8443);
/// Where the node finds its settings.
pub const BUNDLE_AT: SocketAddr = at(OPERATOR, 8080);
/// The customer's own address.
pub const CUSTOMER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The internet's web server.
pub const PAGE_AT: SocketAddr = at(Ipv4Addr::new(198, 51, 100, 2), 80);
/// Memory of the guest, in MiB.
pub const GUEST_MIB: u32 = 128;
/// The hub's end of the guest's link.
pub const TAP: &str = "node0";
/// The customer's and the internet's end of their links.
pub const LINK: &str = "eth0";

const fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(address), port)
}

/// No command that sets up a network takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// One network namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
    tag: Tag,
}

/// All of them.
#[derive(Debug)]
pub struct Lab {
    /// Router between the others, and the operator's machine.
    pub hub: Namespace,
    /// Everything beyond the node.
    pub internet: Namespace,
    /// Somebody with a WireGuard client.
    pub customer: Namespace,
    /// The run's name.
    pub tag: Tag,
}

impl Lab {
    /// Makes namespaces, links, addresses and routes.
    ///
    /// # Errors
    /// The kernel or iproute2 refuses.
    pub fn make(tag: &Tag) -> Result<Self> {
        let lab = Self {
            hub: Namespace::make(tag, "hub")?,
            internet: Namespace::make(tag, "internet")?,
            customer: Namespace::make(tag, "customer")?,
            tag: tag.clone(),
        };
        lab.hub.ip(&format!("tuntap add dev {TAP} mode tap"))?;
        lab.hub
            .ip(&format!("address add {OPERATOR}/24 dev {TAP}"))?;
        lab.hub
            .ip(&format!("address add 2001:db8:2::1/64 dev {TAP} nodad"))?;
        lab.hub.ip(&format!("link set {TAP} up"))?;
        lab.attach(&lab.internet, "inet0", "198.51.100", "2001:db8:64")?;
        lab.attach(&lab.customer, "cust0", "203.0.113", "2001:db8:71")?;
        lab.hub.sysctl("net/ipv4/ip_forward", "1")?;
        lab.hub.sysctl("net/ipv6/conf/all/forwarding", "1")?;
        Ok(lab)
    }

    /// A veth pair to `other`: .1 and ::1 are the hub, .2 and ::2 the other.
    fn attach(&self, other: &Namespace, name: &str, ipv4: &str, ipv6: &str) -> Result<()> {
        let (hub, peer) = (&self.hub, &other.name);
        hub.ip(&format!(
            "link add {name} type veth peer name {LINK} netns {peer}"
        ))?;
        hub.ip(&format!("address add {ipv4}.1/24 dev {name}"))?;
        hub.ip(&format!("address add {ipv6}::1/64 dev {name} nodad"))?;
        hub.ip(&format!("link set {name} up"))?;
        other.ip(&format!("address add {ipv4}.2/24 dev {LINK}"))?;
        other.ip(&format!("address add {ipv6}::2/64 dev {LINK} nodad"))?;
        other.ip(&format!("link set {LINK} up"))?;
        other.ip(&format!("route add default via {ipv4}.1"))?;
        other.ip(&format!("-6 route add default via {ipv6}::1"))
    }

    /// Where the run keeps its files.
    pub fn file(&self, name: &str) -> PathBuf {
        self.tag.directory().join(name)
    }
}

impl Namespace {
    fn make(tag: &Tag, role: &str) -> Result<Self> {
        let name = tag.namespace(role);
        let mut command = process::command(["ip", "netns", "add", &name]);
        process::output(&mut command, "ip netns add", LIMIT)?;
        let namespace = Self {
            name,
            tag: tag.clone(),
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command inside, which ends with this run.
    pub fn command<'a>(&'a self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let inside = ["ip", "netns", "exec", self.name.as_str()];
        let mut command = process::command(inside.into_iter().chain(words));
        command.env(teardown::VARIABLE, self.tag.name());
        command
    }

    /// Does something inside: the sockets that it makes stay there.
    ///
    /// # Errors
    /// The namespace is gone, or what `work` returns.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(PathBuf::from("/run/netns").join(&self.name))
            .with_context(|| format!("{} is gone", self.name))?;
        // A thread of its own, since a thread is what is in a namespace.
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace")?;
                work()
            });
            inside
                .join()
                .map_err(|_| anyhow!("a panic in a namespace"))?
        })
    }

    /// `ip` with these words, inside.
    pub fn ip(&self, words: &str) -> Result<()> {
        let words = ["ip", "-n", &self.name].into_iter().chain(words.split(' '));
        let mut command = process::command(words.clone());
        process::output(&mut command, "ip", LIMIT)
            .with_context(|| words.collect::<Vec<_>>().join(" "))?;
        Ok(())
    }

    fn sysctl(&self, name: &'static str, value: &'static str) -> Result<()> {
        self.inside(move || {
            fs::write(PathBuf::from("/proc/sys").join(name), value)
                .with_context(|| format!("cannot set {name}"))
        })
    }
}
