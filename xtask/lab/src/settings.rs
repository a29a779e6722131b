//! The operator's two files of settings.

use std::path::Path;

use crate::network::{
    ACCOUNTS, ENROLMENT_PORT, HEALTHZ, NODE, NODE_V6, OPERATOR_V6, RESOLVER, WIREGUARD_PORT,
};

/// The node's name, in its certificate.
pub const NODE_NAME: &str = "node-1.example";
/// The account service's.
pub const ACCOUNTS_NAME: &str = "accounts.example";

/// Settings of the account service, which keeps its files in `data`. One customer plays many.
pub fn accounts(data: &Path) -> String {
    format!(
        "listen = \"{ACCOUNTS}\"\nnames = [\"{ACCOUNTS_NAME}\"]\ndata = \"{}\"\n\n\
         [limits]\ntokens = 1000\n",
        data.display()
    )
}

/// Settings of the node.
pub fn node(ca: &str, secret: &str, token_key: &str) -> String {
    format!(
        r#"name = "{NODE_NAME}"
serial = 1
dns = ["{RESOLVER}"]

[uplink]
interface = "eth0"
addresses = ["{NODE_V6}/64"]
gateways = ["{OPERATOR_V6}"]

[wireguard]
port = {WIREGUARD_PORT}
addresses = ["{NODE}", "{NODE_V6}"]
mtu = 1420
persistent_keepalive = 25

[enrolment]
port = {ENROLMENT_PORT}

[operator]
healthz = "{HEALTHZ}"

[pools.default]
ipv4 = "10.64.0.0/16"
ipv6 = "fd00:64::/64"

[tokens]
keys = ["{token_key}"]

[accounts]
address = "{ACCOUNTS}"
tls_name = "{ACCOUNTS_NAME}"
secret = "{secret}"
ca = """
{ca}"""

[privilege]
uid = 65532
gid = 65532

[lockdown]
landlock_abi = 6
"#
    )
}
