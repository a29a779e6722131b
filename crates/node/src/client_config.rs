//! The configuration that an enrolled client receives.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mayfly_wire::enrol::{Cidr, EnrolResponse};

use crate::enrolment::Enrolled;
use crate::node_keys::NodeKeys;
use crate::settings::Settings;

/// The part of the configuration that is the same for all clients.
pub(crate) struct ClientConfig {
    node_keys: NodeKeys,
    addresses: Vec<IpAddr>,
    port: u16,
    dns: Vec<IpAddr>,
    mtu: u16,
    persistent_keepalive: u16,
}

impl ClientConfig {
    /// For the clients of a node with these WireGuard keys.
    pub(crate) fn new(settings: &Settings, node_keys: NodeKeys) -> Self {
        Self {
            node_keys,
            addresses: settings.wireguard.addresses.get_ref().clone(),
            port: settings.wireguard.port.get(),
            dns: settings.dns.clone(),
            mtu: *settings.wireguard.mtu.get_ref(),
            persistent_keepalive: settings.wireguard.persistent_keepalive,
        }
    }

    /// The response to a client that connected to the node's address `local`.
    pub(crate) fn response(&self, enrolled: Enrolled, local: Option<IpAddr>) -> EnrolResponse {
        let client = enrolled.client;
        let ipv6 = client.ipv6.map(|address| Cidr::host(address.into()));
        let ipv4 = Cidr::host(client.ipv4.into());
        EnrolResponse {
            public_key: self.node_keys.newest(),
            preshared_key: client.preshared_key,
            endpoint: SocketAddr::new(self.address_like(local), self.port),
            addresses: [ipv4].into_iter().chain(ipv6).collect(),
            allowed_ips: everything(),
            dns: self.dns.clone(),
            mtu: self.mtu,
            persistent_keepalive: self.persistent_keepalive,
            expires: enrolled.expires,
        }
    }

    /// The preferred address of the family that the client used.
    fn address_like(&self, local: Option<IpAddr>) -> IpAddr {
        let by_ipv4 = local.map(|local| local.to_canonical().is_ipv4());
        let same = |address: &&IpAddr| Some(address.is_ipv4()) == by_ipv4;
        let preferred = self.addresses.iter().find(same).or(self.addresses.first());
        preferred
            .copied()
            .unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }
}

/// All destinations: nothing leaves beside the tunnel. Inside it, ICMPv6 tells IPv4-only peers that
/// IPv6 is prohibited.
fn everything() -> Vec<Cidr> {
    let all = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    all.into_iter()
        .filter_map(|address| Cidr::new(address, 0))
        .collect()
}
