//! Kernel settings of the machine as a whole. The daemon sets those of its own trade.

use mayfly_sys::sysctl;

use crate::Failure;

const SETTINGS: [(&str, &str); 7] = [
    // Nobody looks into another process, and nobody turns this back.
    ("kernel/yama/ptrace_scope", "3"),
    // The kernel keeps no round-trip times of the addresses that it has talked to.
    ("net/ipv4/tcp_no_metrics_save", "1"),
    // Nor the two ends of a connection that is over, nor a cookie for the next one.
    ("net/ipv4/tcp_max_tw_buckets", "0"),
    ("net/ipv4/tcp_fastopen", "0"),
    // Nor, beyond a second or what is the least, whom it sent errors to and whose path is narrow.
    ("net/ipv4/inet_peer_minttl", "1"),
    ("net/ipv4/inet_peer_maxttl", "1"),
    ("net/ipv6/route/mtu_expires", "1"),
];

/// Sets the table.
///
/// # Errors
/// [`Failure::Sysctls`]
pub fn set_all() -> Result<(), Failure> {
    sysctl::set_all(&SETTINGS).map_err(|_| Failure::Sysctls)
}
