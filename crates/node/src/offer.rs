//! What an enrolled client is told, beside what is its own.

use std::net::{IpAddr, SocketAddr};

use mayfly_wire::PublicKey;
use mayfly_wire::enrol::{Cidr, EnrolResponse};

use crate::enrolment::Granted;
use crate::settings::Settings;

/// The part of the answer that is the same for all.
pub struct Offer {
    public_key: PublicKey,
    addresses: Vec<IpAddr>,
    port: u16,
    dns: Vec<IpAddr>,
    mtu: u16,
    persistent_keepalive: u16,
}

impl Offer {
    /// The offer of a node whose WireGuard key is `public_key`.
    pub fn new(settings: &Settings, public_key: PublicKey) -> Self {
        Self {
            public_key,
            addresses: settings.wireguard.addresses.get_ref().clone(),
            port: settings.wireguard.port.get(),
            dns: settings.dns.clone(),
            mtu: *settings.wireguard.mtu.get_ref(),
            persistent_keepalive: settings.wireguard.persistent_keepalive,
        }
    }

    /// The answer to a client that came to the node's address `local`.
    pub fn to(&self, granted: Granted, local: Option<IpAddr>) -> EnrolResponse {
        let ipv6 = granted.peer.ipv6.map(|address| Cidr::host(address.into()));
        let ipv4 = Cidr::host(granted.peer.ipv4.into());
        EnrolResponse {
            public_key: self.public_key,
            preshared_key: granted.peer.preshared_key,
            endpoint: SocketAddr::new(self.address_like(local), self.port),
            addresses: [ipv4].into_iter().chain(ipv6).collect(),
            allowed_ips: everything(),
            dns: self.dns.clone(),
            mtu: self.mtu,
            persistent_keepalive: self.persistent_keepalive,
            expires: granted.expires,
        }
    }

    /// The preferred address of the family that the client can reach, for it came by it.
    fn address_like(&self, local: Option<IpAddr>) -> IpAddr {
        let by_ipv4 = local.map(|local| local.to_canonical().is_ipv4());
        let same = |address: &&IpAddr| Some(address.is_ipv4()) == by_ipv4;
        let preferred = self.addresses.iter().find(same).or(self.addresses.first());
        preferred
            .copied()
            .unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))
    }
}

/// Nothing goes beside the tunnel; who has no IPv6 is told so inside it.
fn everything() -> Vec<Cidr> {
    let all = [
        IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    ];
    all.into_iter()
        .filter_map(|address| Cidr::new(address, 0))
        .collect()
}
