//! Kernel settings of the machine as a whole. The daemon sets those of its own trade.

use mayfly_sys::sysctl;

use crate::Failure;

const SETTINGS: [(&str, &str); 13] = [
    // Nobody looks into another process, and nobody turns this back.
    ("kernel/yama/ptrace_scope", "3"),
    // The kernel keeps no round-trip times of the addresses that it has talked to.
    ("net/ipv4/tcp_no_metrics_save", "1"),
    // Nor the two ends of a connection that is over, nor a cookie for the next one.
    ("net/ipv4/tcp_max_tw_buckets", "0"),
    ("net/ipv4/tcp_fastopen", "0"),
    // Nor packets that a socket has read, until the processor that they came to is asked to
    // free them with others.
    ("net/core/skb_defer_max", "0"),
    // Nor, beyond a second or what is the least, whom it sent errors to and whose path is narrow.
    ("net/ipv4/inet_peer_minttl", "1"),
    ("net/ipv4/inet_peer_maxttl", "1"),
    ("net/ipv6/route/mtu_expires", "1"),
    // IPv4 need not know whose path is narrow: it leaves without "don't fragment".
    ("net/ipv4/ip_no_pmtu_disc", "2"),
    ("net/ipv4/conf/all/accept_redirects", "0"),
    // Parts of packets wait half a minute for the rest, not a whole one.
    ("net/ipv6/ip6frag_time", "30"),
    ("net/netfilter/nf_conntrack_frag6_timeout", "30"),
    // Somebody pushed the button for a look inside: start again, and forget.
    ("kernel/unknown_nmi_panic", "1"),
];

/// Sets the table.
///
/// # Errors
/// [`Failure::Sysctls`]
pub fn set_all() -> Result<(), Failure> {
    sysctl::set_all(&SETTINGS).map_err(|_| Failure::Sysctls)
}
