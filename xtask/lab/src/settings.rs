//! The operator's two files of settings, for every lab.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::healthz;

/// The node's name, in its certificate.
pub const NODE_NAME: &str = "node-1.example";
/// The account service's.
pub const ACCOUNTS_NAME: &str = "accounts.example";
/// Where the node takes clients.
pub const ENROLMENT_PORT: u16 = 443;
/// Where the node takes WireGuard datagrams.
pub const WIREGUARD_PORT: u16 = 51820;

/// Settings of the account service, which listens at `listen` and keeps its files in `data`.
/// `limits` are the rates that a lab needs higher, because one customer plays many.
pub fn accounts(listen: SocketAddr, data: &Path, limits: &[(&str, u32)]) -> String {
    let data = data.display();
    let mut text = format!(
        "listen = \"{listen}\"\nnames = [\"{ACCOUNTS_NAME}\"]\ndata = \"{data}\"\n\n[limits]\n"
    );
    for (name, limit) in limits {
        text.push_str(&format!("{name} = {limit}\n"));
    }
    text
}

/// What differs between nodes.
pub struct Node<'a> {
    /// Its addresses on its uplink.
    pub addresses: (Ipv4Addr, Ipv6Addr),
    /// Lines below `[uplink]`: the interface, and the addresses and gateways that it does not have
    /// yet.
    pub uplink: String,
    /// The resolver that its clients are told of.
    pub resolver: Ipv4Addr,
    /// The streaming pool, for more clients than the default pool takes.
    pub streaming: Option<&'a str>,
    /// Public keys under which tokens are signed, in base64.
    pub token_keys: &'a [&'a str],
    /// The account service.
    pub accounts: SocketAddr,
    /// What admits the node there.
    pub secret: &'a str,
    /// The authority that vouches for the account service, in PEM.
    pub ca: &'a str,
    /// The lowest version of Landlock that it accepts of the kernel.
    pub landlock_abi: u8,
}

impl Node<'_> {
    /// The file.
    pub fn text(&self) -> String {
        let Self {
            addresses: (ipv4, ipv6),
            uplink,
            resolver,
            token_keys,
            accounts,
            secret,
            ca,
            landlock_abi,
            ..
        } = self;
        let healthz = healthz::PORT;
        let streaming = self.streaming.map_or_else(String::new, |pool| {
            format!("[pools.streaming]\nipv4 = \"{pool}\"\n\n")
        });
        format!(
            r#"name = "{NODE_NAME}"
serial = 1
dns = ["{resolver}"]

[uplink]
{uplink}

[wireguard]
port = {WIREGUARD_PORT}
addresses = ["{ipv4}", "{ipv6}"]
mtu = 1420
persistent_keepalive = 25

[enrolment]
port = {ENROLMENT_PORT}

[operator]
healthz = "{ipv4}:{healthz}"
monitors = ["{ipv4}/24"]

[pools.default]
ipv4 = "10.64.0.0/16"
ipv6 = "fd00:64::/64"

{streaming}[tokens]
keys = {token_keys:?}

[accounts]
address = "{accounts}"
tls_name = "{ACCOUNTS_NAME}"
secret = "{secret}"
ca = """
{ca}"""

[privilege]
uid = 65532
gid = 65532

[lockdown]
landlock_abi = {landlock_abi}
"#
        )
    }
}
