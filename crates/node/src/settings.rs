//! The node's settings: one TOML text, checked as a whole before anything is started.
//!
//! A text that does not fit is refused with its file, its line and what was expected.
//! Addresses are numeric everywhere: a node looks up no name.

mod check;
mod error;
mod value;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};

use serde::Deserialize;
use toml::Spanned;

use mayfly_wire::bundle::Mac;
use mayfly_wire::enrol::Cidr;

pub use error::SettingsError;
pub use value::{Authority, InterfaceName, NodeName, Secret, TlsName, TokenKey};

/// Everything that an operator decides about a node. `example.toml` shows each field.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The node's lasting identity: the DNS name in its certificate.
    pub name: NodeName,
    /// Number of this text, higher than that of the one before. In the image, init has
    /// compared it with the least that the image takes.
    pub serial: u64,
    /// Ethernet addresses of the machines that may be this node; any, if none is named. In
    /// the image, init has looked for its own among them.
    #[serde(default)]
    pub machines: Vec<Mac>,
    /// Resolvers told to clients, which reach them through the tunnel.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// The way to the internet.
    pub uplink: Uplink,
    /// The tunnel's outer side.
    pub wireguard: Wireguard,
    /// Where clients enrol.
    pub enrolment: Enrolment,
    /// What the operator watches.
    pub operator: Operator,
    /// Inner addresses, a pool for each class of peer.
    pub pools: Pools,
    /// Whose tokens are taken.
    pub tokens: Tokens,
    /// The account service.
    pub accounts: Accounts,
    /// Whom the daemon becomes.
    pub privilege: Privilege,
    /// How much confinement is enough.
    #[serde(default)]
    pub lockdown: Lockdown,
}

/// The way to the internet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Name of the network interface, at most 15 bytes.
    pub interface: InterfaceName,
    /// Addresses to add to the interface at start, with their prefix lengths; those that
    /// the boot network gave are there already.
    #[serde(default)]
    pub addresses: Vec<Spanned<Cidr>>,
    /// Default routers to add, at most one of a family.
    #[serde(default)]
    pub gateways: Vec<Spanned<IpAddr>>,
}

/// The tunnel's outer side.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wireguard {
    /// UDP port.
    pub port: NonZeroU16,
    /// The node's addresses as clients reach them, the preferred first. A client is told
    /// the first one of the family that it enrolled over.
    pub addresses: Spanned<Vec<IpAddr>>,
    /// Largest inner packet, in bytes: 1280 (RFC 8200 section 5) to 9000.
    pub mtu: Spanned<u16>,
    /// Seconds between the keepalives that clients are told to send.
    pub persistent_keepalive: u16,
}

/// Where clients enrol.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// TCP port, on every address of the node.
    pub port: NonZeroU16,
}

/// What the operator watches.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operator {
    /// Where `GET /healthz` is answered, over plain HTTP.
    pub healthz: Spanned<SocketAddr>,
}

/// Inner addresses, a pool for each class of peer. No two may overlap. The first host of
/// each prefix is the node's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// Peers without an add-on; their traffic leaves by the uplink's own address.
    pub default: Pool,
    /// Peers whose token says `streaming`.
    pub streaming: Option<Streaming>,
    /// Peers whose token says `public_ipv4`.
    pub public: Option<Public>,
}

/// A pool of inner addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// IPv4 prefix, /16 to /30.
    pub ipv4: Spanned<Cidr>,
    /// IPv6 prefix, /64 to /112, for accounts that want it; without it nobody has IPv6.
    pub ipv6: Option<Spanned<Cidr>>,
}

/// A pool whose traffic leaves by an address of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streaming {
    /// IPv4 prefix, /16 to /30.
    pub ipv4: Spanned<Cidr>,
    /// IPv6 prefix, /64 to /112.
    pub ipv6: Option<Spanned<Cidr>>,
    /// The address that the internet sees; it must be on the uplink.
    pub egress: Option<Spanned<Ipv4Addr>>,
}

/// Inner addresses that are mapped one to one to public ones. Their IPv6 is of the default pool.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// IPv4 prefix of the inner addresses, /16 to /30.
    pub inner: Spanned<Cidr>,
    /// IPv4 prefix of the public addresses, of the same length, routed to the node.
    pub outer: Spanned<Cidr>,
}

/// Whose tokens are taken.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Ed25519 public keys, 32 bytes in base64: the one in use and those about to be.
    pub keys: Spanned<Vec<TokenKey>>,
}

/// The account service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Its numeric address and port.
    pub address: Spanned<SocketAddr>,
    /// Its other processes, if it has several: whichever does not answer, or does not count,
    /// is passed over for the next.
    #[serde(default)]
    pub stand_bys: Vec<Spanned<SocketAddr>>,
    /// The name in its certificate.
    pub tls_name: TlsName,
    /// The authority that vouches for it, in PEM.
    pub ca: Authority,
    /// What this node shows to be admitted.
    pub secret: Secret,
    /// Whether new sessions are admitted while the service is out of reach.
    #[serde(default)]
    pub when_unreachable: WhenUnreachable,
}

impl Accounts {
    /// Where its processes are, in the order in which they are tried.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let all = [&self.address].into_iter().chain(&self.stand_bys);
        all.map(|address| *address.get_ref()).collect()
    }
}

/// Whether new sessions are admitted while the account service is out of reach.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnreachable {
    /// They are, and are counted once the service is back.
    #[default]
    Admit,
    /// They are not. Live ones stay.
    Refuse,
}

/// Whom the daemon becomes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privilege {
    /// User id, not 0.
    pub uid: NonZeroU32,
    /// Group id, not 0.
    pub gid: NonZeroU32,
}

/// How much confinement is enough.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockdown {
    /// Least version of the kernel's Landlock ABI: 4 confines TCP, 6 (the image's kernel)
    /// signals too. The node does not start on less.
    #[serde(default = "Lockdown::host_abi")]
    pub landlock_abi: Spanned<u8>,
}

impl Lockdown {
    /// What is asked of a host: files and truncation are confined.
    fn host_abi() -> Spanned<u8> {
        Spanned::new(0..0, 3)
    }
}

impl Default for Lockdown {
    fn default() -> Self {
        Self {
            landlock_abi: Self::host_abi(),
        }
    }
}

impl Settings {
    /// Reads and checks a settings text; `file` is its name in the error.
    ///
    /// # Errors
    /// The first thing that does not fit, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, SettingsError> {
        let settings: Self =
            toml::from_str(text).map_err(|error| SettingsError::syntax(file, text, &error))?;
        settings
            .check()
            .map_err(|wrong| SettingsError::value(file, text, wrong))?;
        Ok(settings)
    }

    /// All inner prefixes, each with the name of its field.
    pub fn inner_prefixes(&self) -> Vec<(&'static str, &Spanned<Cidr>)> {
        let pools = &self.pools;
        let default = [
            Some(("pools.default.ipv4", &pools.default.ipv4)),
            pools
                .default
                .ipv6
                .as_ref()
                .map(|p| ("pools.default.ipv6", p)),
        ];
        let streaming = pools.streaming.iter().flat_map(|streaming| {
            [
                Some(("pools.streaming.ipv4", &streaming.ipv4)),
                streaming.ipv6.as_ref().map(|p| ("pools.streaming.ipv6", p)),
            ]
        });
        let public = pools
            .public
            .iter()
            .map(|p| Some(("pools.public.inner", &p.inner)));
        default
            .into_iter()
            .chain(streaming)
            .chain(public)
            .flatten()
            .collect()
    }
}

#[cfg(test)]
mod tests;
