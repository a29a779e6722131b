//! Opens everything that needs a right.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};

use mayfly_sys::tun::Tun;
use mayfly_sys::udp::{Steering, Udp};
use mayfly_sys::{link, nft, processors, sysctl, tcp};
use mayfly_tunnel::{MAX_SHARDS, SHARD_BYTE, SHARDED_KIND};

use super::{StartError, wanted};
use crate::enrolment::own_address;
use crate::firewall;
use crate::janitor::Janitor;
use crate::settings::Settings;

/// Name of the TUN device.
const TUN: &str = "mayfly0";

/// Brings the datagrams of a session to the thread that has its peer.
const STEERING: Steering = Steering {
    kind: SHARDED_KIND,
    at: SHARD_BYTE as u32,
};

/// The kernel settings that make the machine a router.
const FORWARDING: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
];

/// Open descriptors, and a kernel that is set up.
pub(super) struct Acquired {
    pub settings: Settings,
    /// The processors, each for one packet thread.
    pub processors: Vec<usize>,
    /// A queue for each of them.
    pub tun: Vec<Tun>,
    /// A socket for each of them.
    pub udp: Vec<Udp>,
    pub enrolment: TcpListener,
    pub health: TcpListener,
    pub janitor: Janitor,
}

impl Acquired {
    /// Opens everything. The firewall is in force before the first packet can be forwarded.
    pub(super) fn acquire(settings: Settings) -> Result<Self, StartError> {
        let processors = wanted("the list of processors", processors::own(MAX_SHARDS.into()))?;
        let tun = Tun::create_queues(TUN, processors.len());
        let tun = wanted("the TUN device", tun)?;
        addresses(&settings)?;
        let rules = firewall::ruleset(&settings, TUN);
        wanted("the firewall", nft::install(&rules))?;
        forwarding()?;
        let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let port = settings.wireguard.port.get();
        let udp = Udp::bind_group(port, processors.len(), STEERING);
        let udp = wanted("the WireGuard port", udp)?;
        let enrolment = listen("the enrolment port", any(settings.enrolment.port.get()))?;
        let health = listen("the health address", *settings.operator.healthz.get_ref())?;
        let abi = *settings.lockdown.landlock_abi.get_ref();
        let janitor = wanted("the janitor", Janitor::start(abi))?;
        Ok(Self {
            settings,
            processors,
            tun,
            udp,
            enrolment,
            health,
            janitor,
        })
    }
}

fn addresses(settings: &Settings) -> Result<(), StartError> {
    let mtu = *settings.wireguard.mtu.get_ref();
    wanted("the TUN device", link::set_up(TUN, Some(mtu)))?;
    for prefix in settings.inner_prefixes() {
        let prefix = prefix.cidr();
        let added = link::add_address(TUN, own_address(prefix), prefix.prefix);
        wanted("an inner address", added)?;
    }
    let uplink = &settings.uplink;
    for address in &uplink.addresses {
        let address = *address.get_ref();
        let added = link::add_address(uplink.interface.as_str(), address.address, address.prefix);
        wanted("an address of the uplink", added)?;
    }
    for gateway in &uplink.gateways {
        let gateway: IpAddr = *gateway.get_ref();
        wanted("a default router", link::add_default_route(gateway))?;
    }
    Ok(())
}

fn forwarding() -> Result<(), StartError> {
    let done = sysctl::set_all(FORWARDING).map_err(|(_, error)| error);
    wanted("forwarding between networks", done)
}

fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    wanted(what, tcp::listen(address))
}
