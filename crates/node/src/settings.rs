//! The node's settings: one TOML text, checked as a whole before anything is started.
//!
//! The error of a text that is refused names its file, its line and what was expected. Addresses
//! are numeric everywhere: a node looks up no name.

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
    /// Number of this text, higher than the number of the text before. In the image, init has
    /// checked that it is not below the lowest number that the image accepts.
    pub serial: u64,
    /// Ethernet addresses of the machines that may be this node. If there are none, any machine
    /// may. In the image, init has looked for its own address among them.
    #[serde(default)]
    pub machines: Vec<Mac>,
    /// Resolvers that clients are told to use. They reach them through the tunnel.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
    /// The link to the internet.
    pub uplink: Uplink,
    /// The tunnel's outer side.
    pub wireguard: Wireguard,
    /// Where clients enrol.
    pub enrolment: Enrolment,
    /// What the operator watches.
    pub operator: Operator,
    /// Inner addresses: a pool for each class of peer.
    pub pools: Pools,
    /// The tokens that are accepted.
    pub tokens: Tokens,
    /// The account service.
    pub accounts: Accounts,
    /// The user and group that the daemon becomes.
    pub privilege: Privilege,
    /// How much confinement is required.
    #[serde(default)]
    pub lockdown: Lockdown,
}

/// The link to the internet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uplink {
    /// Name of the network interface, at most 15 bytes.
    pub interface: InterfaceName,
    /// Addresses to add to the interface at start, with their prefix lengths. Those that the boot
    /// network assigned are there already.
    #[serde(default)]
    pub addresses: Vec<Spanned<Cidr>>,
    /// Default routers to add, at most one for each family.
    #[serde(default)]
    pub gateways: Vec<Spanned<IpAddr>>,
    /// The addresses that the internet sees of peers without an add-on, at most one for each
    /// family. They must be on the uplink, and no endpoint of WireGuard: an error about a
    /// customer's packet that a router remembers must not be about everybody's. Without them, the
    /// uplink's first address that is no endpoint serves, or otherwise the endpoint.
    #[serde(default)]
    pub egress: Vec<Spanned<IpAddr>>,
}

/// The tunnel's outer side.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wireguard {
    /// UDP port.
    pub port: NonZeroU16,
    /// The addresses at which clients reach the node, the preferred one first. A client is told the
    /// first one of the family over which it enrolled.
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
    /// Who may ask there. No peer can reach these addresses. Without any, no one may.
    #[serde(default)]
    pub monitors: Vec<Spanned<Cidr>>,
    /// Further networks that no peer can reach: the operator's own, and those that trust the node's
    /// address. What is on the link with the node is closed anyway, and so are the hosts that it
    /// booted from.
    #[serde(default)]
    pub closed: Vec<Spanned<Cidr>>,
}

/// Inner addresses: a pool for each class of peer. No two may overlap. The first host address of
/// each prefix is the node's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// Peers without an add-on. Their traffic leaves with the uplink's own address.
    pub default: Pool,
    /// Peers whose token has `streaming`.
    pub streaming: Option<Streaming>,
    /// Peers whose token has `public_ipv4`.
    pub public: Option<Public>,
}

/// A pool of inner addresses.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// IPv4 prefix, /16 to /30.
    pub ipv4: Spanned<Cidr>,
    /// IPv6 prefix, /64 to /112, for accounts that want IPv6. Without it, no peer has IPv6.
    pub ipv6: Option<Spanned<Cidr>>,
}

/// A pool whose traffic can leave with another address than the uplink's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streaming {
    /// IPv4 prefix, /16 to /30.
    pub ipv4: Spanned<Cidr>,
    /// IPv6 prefix, /64 to /112.
    pub ipv6: Option<Spanned<Cidr>>,
    /// The address that the internet sees. It must be on the uplink.
    pub egress: Option<Spanned<Ipv4Addr>>,
}

/// Inner addresses that are mapped one to one to public ones. Their peers get IPv6 addresses from
/// the default pool.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Public {
    /// IPv4 prefix of the inner addresses, /16 to /30.
    pub inner: Spanned<Cidr>,
    /// IPv4 prefix of the public addresses, of the same length, routed to the node.
    pub outer: Spanned<Cidr>,
}

/// The tokens that are accepted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokens {
    /// Ed25519 public keys, 32 bytes in base64: the one in use, and those that come into use next.
    pub keys: Spanned<Vec<TokenKey>>,
}

/// The account service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Its numeric address and port.
    pub address: Spanned<SocketAddr>,
    /// Its other processes, if it has several. If one does not answer, or does not count, the node
    /// tries the next.
    #[serde(default)]
    pub stand_bys: Vec<Spanned<SocketAddr>>,
    /// The name in its certificate.
    pub tls_name: TlsName,
    /// The authority that certifies it, in PEM.
    pub ca: Authority,
    /// The secret that this node shows to be admitted.
    pub secret: Secret,
    /// Whether new sessions are admitted while the service is out of reach.
    #[serde(default)]
    pub when_unreachable: WhenUnreachable,
}

impl Accounts {
    /// The addresses of its processes, in the order in which they are tried.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let all = [&self.address].into_iter().chain(&self.stand_bys);
        all.map(|address| *address.get_ref()).collect()
    }
}

/// Whether new sessions are admitted while the account service is out of reach.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenUnreachable {
    /// They are admitted, and counted once the service is back.
    #[default]
    Admit,
    /// They are refused. Live sessions stay.
    Refuse,
}

/// The user and group that the daemon becomes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privilege {
    /// User id, not 0.
    pub uid: NonZeroU32,
    /// Group id, not 0.
    pub gid: NonZeroU32,
}

/// How much confinement is required.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockdown {
    /// The lowest Landlock ABI that the kernel may have: 3 confines files, 4 also TCP, 6 (the
    /// image's kernel) also signals. The node does not start on a kernel that has less.
    #[serde(default = "Lockdown::host_abi")]
    pub landlock_abi: Spanned<u8>,
}

impl Lockdown {
    /// What a host must have: files and truncation are confined.
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
    /// Reads and checks a settings text. `file` is its name in the error.
    ///
    /// # Errors
    /// The first value that is not as expected, with its line.
    pub fn parse(file: &str, text: &str) -> Result<Self, SettingsError> {
        let settings: Self =
            toml::from_str(text).map_err(|error| SettingsError::syntax(file, text, &error))?;
        settings
            .check()
            .map_err(|wrong| SettingsError::value(file, text, wrong))?;
        Ok(settings)
    }

    /// All inner prefixes.
    pub fn inner_prefixes(&self) -> Vec<InnerPrefix<'_>> {
        let v4 = |field, prefix| InnerPrefix::new(field, Family::V4, prefix);
        let v6 = |field, prefix| InnerPrefix::new(field, Family::V6, prefix);
        let pools = &self.pools;
        let mut prefixes = vec![v4("pools.default.ipv4", &pools.default.ipv4)];
        prefixes.extend(
            pools
                .default
                .ipv6
                .iter()
                .map(|p| v6("pools.default.ipv6", p)),
        );
        if let Some(streaming) = &pools.streaming {
            prefixes.push(v4("pools.streaming.ipv4", &streaming.ipv4));
            prefixes.extend(streaming.ipv6.iter().map(|p| v6("pools.streaming.ipv6", p)));
        }
        let public = pools.public.iter();
        prefixes.extend(public.map(|public| v4("pools.public.inner", &public.inner)));
        prefixes
    }
}

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// A prefix of inner addresses.
pub struct InnerPrefix<'a> {
    /// The name of its field in the settings.
    pub field: &'static str,
    /// The family that the field is for. A prefix that passed the checks is of this family.
    pub family: Family,
    /// The prefix, with its place in the text.
    pub prefix: &'a Spanned<Cidr>,
}

impl<'a> InnerPrefix<'a> {
    fn new(field: &'static str, family: Family, prefix: &'a Spanned<Cidr>) -> Self {
        Self {
            field,
            family,
            prefix,
        }
    }

    /// The prefix.
    pub fn cidr(&self) -> Cidr {
        *self.prefix.get_ref()
    }
}

#[cfg(test)]
mod tests;
