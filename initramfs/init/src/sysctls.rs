//! Kernel settings of the machine as a whole. The daemon sets those of its own trade.

use std::{fs, io};

use mayfly_sys::sysctl;

use crate::Failure;

const SETTINGS: [(&str, &str); 17] = [
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
    // A peer with IPv6 is a neighbour on the TUN device. Neighbours are looked through for those
    // that are gone also where they are few, and may be as many as there are peers.
    ("net/ipv4/neigh/default/gc_thresh1", "0"),
    ("net/ipv6/neigh/default/gc_thresh1", "0"),
    ("net/ipv6/neigh/default/gc_thresh2", "262144"),
    ("net/ipv6/neigh/default/gc_thresh3", "262144"),
    // Somebody pushed the button for a look inside: start again, and forget.
    ("kernel/unknown_nmi_panic", "1"),
];

/// Where each device, and `default` for those to come, has a directory.
const NEIGHBOURS: [&str; 2] = ["/proc/sys/net/ipv4/neigh", "/proc/sys/net/ipv6/neigh"];
/// How long a neighbour stays that nothing is sent to, in seconds.
const STALE: &str = "10";

/// Sets the table.
///
/// # Errors
/// [`Failure::Sysctls`]
pub fn set_all() -> Result<(), Failure> {
    sysctl::set_all(&SETTINGS).map_err(|_| Failure::Sysctls)?;
    let done = NEIGHBOURS.into_iter().try_for_each(forget_neighbours);
    done.map_err(|_| Failure::Sysctls)
}

fn forget_neighbours(directory: &str) -> io::Result<()> {
    for device in fs::read_dir(directory)? {
        fs::write(device?.path().join("gc_stale_time"), STALE)?;
    }
    Ok(())
}
