//! Opens everything that needs a right.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};

use mayfly_sys::tun::Tun;
use mayfly_sys::udp::{Steering, Udp};
use mayfly_sys::{link, memory, nft, processors, sysctl, tcp};
use mayfly_tunnel::{MAX_SHARDS, SHARD_BYTE, SHARDED_KIND};
use mayfly_wire::enrol::Cidr;

use super::{StartError, wanted};
use crate::enrolment::own_address;
use crate::firewall::{self, Surroundings};
use crate::janitor::Janitor;
use crate::settings::Settings;

/// Name of the TUN device.
const TUN: &str = "mayfly0";

/// Frames that may wait in a queue of the TUN device: as many as the kernel has at first, or more,
/// so that a burst of one peer leaves room for the others. The queues drop what comes last.
const FEWEST_FRAMES: u64 = 500;
/// See `FEWEST_FRAMES`. At 10 Gbit/s in full-size packets it is about 5 ms.
const MOST_FRAMES: u64 = 4_000;
/// A waiting frame may be a train of this many bytes.
const LONGEST_FRAME: u64 = 65_536;
/// What all queues may take of the RAM, beyond the kernel's own length: a part of this many.
const PART_OF_RAM: u64 = 16;

/// Brings the datagrams of a session to the thread that has its peer.
const STEERING: Steering = Steering {
    kind: SHARDED_KIND,
    at: SHARD_BYTE as u32,
};

/// The kernel settings that make the machine a router. It tells no peer of a shorter way to
/// another one: that would count as an answer, and "prohibited" would not be sent any longer.
const FORWARDING: &[(&str, &str)] = &[
    ("net/ipv4/ip_forward", "1"),
    ("net/ipv6/conf/all/forwarding", "1"),
    ("net/ipv4/conf/all/send_redirects", "0"),
    ("net/ipv4/conf/mayfly0/send_redirects", "0"),
];
/// The source ports of the node's own connections, [`firewall::OWN`].
const OWN_PORTS: &str = "net/ipv4/ip_local_port_range";
/// How many connections the kernel tracks at most. A host that has not tracked any yet may not have
/// the setting; it will have at least this.
const TABLE: &str = "net/netfilter/nf_conntrack_max";
const TABLE_AT_LEAST: u32 = 4096;

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
    pub(super) fn acquire(settings: Settings, boot_hosts: &[IpAddr]) -> Result<Self, StartError> {
        let processors = wanted("the list of processors", processors::own(MAX_SHARDS.into()))?;
        let tun = Tun::create_queues(TUN, processors.len());
        let tun = wanted("the TUN device", tun)?;
        let queue = wanted("the size of the RAM", memory::total());
        let queue = queue_length(queue?, tun.len() as u64);
        wanted("the TUN device", link::set_queue_length(TUN, queue))?;
        addresses(&settings)?;
        let around = surroundings(&settings, boot_hosts)?;
        let rules = firewall::ruleset(&settings, &around);
        wanted("the firewall", nft::install(&rules))?;
        kernel_settings()?;
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

/// How many frames may wait in each of the TUN device's queues.
fn queue_length(ram: u64, queues: u64) -> u32 {
    let fit = ram / PART_OF_RAM / (queues.max(1) * LONGEST_FRAME);
    fit.clamp(FEWEST_FRAMES, MOST_FRAMES) as u32
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

fn surroundings(
    settings: &Settings,
    boot_hosts: &[IpAddr],
) -> Result<Surroundings<'static>, StartError> {
    let interface = settings.uplink.interface.as_str();
    let uplink = wanted("the uplink's addresses", link::addresses(interface))?;
    let uplink = uplink.into_iter();
    Ok(Surroundings {
        tun: TUN,
        uplink: uplink
            .filter_map(|(address, bits)| Cidr::new(address, bits))
            .collect(),
        boot_hosts: boot_hosts.to_owned(),
        table: sysctl::number(TABLE).unwrap_or(TABLE_AT_LEAST),
    })
}

fn kernel_settings() -> Result<(), StartError> {
    let done = sysctl::set_all(FORWARDING).map_err(|(_, error)| error);
    wanted("forwarding between networks", done)?;
    let own = format!("{} {}", firewall::OWN.start(), firewall::OWN.end());
    let done = sysctl::set_all(&[(OWN_PORTS, &own)]).map_err(|(_, error)| error);
    wanted("the node's own ports", done)
}

fn listen(what: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    wanted(what, tcp::listen(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queues_of_the_tun_are_longer_where_there_is_memory_for_them() {
        let mib = 1 << 20;
        for (ram, queues, length) in [
            (128 * mib, 1, 500),
            (1_024 * mib, 2, 512),
            (4_096 * mib, 4, 1_024),
            (16_384 * mib, 8, 2_048),
            (262_144 * mib, 16, 4_000),
        ] {
            assert_eq!(queue_length(ram, queues), length);
        }
    }
}
