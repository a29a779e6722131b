//! Kernel settings of the whole machine. [`flows`](crate::flows) has those that follow from its
//! memory. The daemon sets those that concern its traffic.

use std::{fs, io};

use mayfly_sys::sysctl;

use crate::Failure;

const SETTINGS: [(&str, &str); 15] = [
    // No process may trace another, and no process can turn this back.
    ("kernel/yama/ptrace_scope", "3"),
    // The kernel keeps no round-trip times of the addresses that it talked to.
    ("net/ipv4/tcp_no_metrics_save", "1"),
    // It keeps neither the two ends of a closed connection nor a cookie for the next one.
    ("net/ipv4/tcp_max_tw_buckets", "0"),
    ("net/ipv4/tcp_fastopen", "0"),
    // A packet that a socket has read is freed at once. It does not wait until the processor
    // that received it frees it with others.
    ("net/core/skb_defer_max", "0"),
    // For at most a second, or the shortest possible time, it keeps the addresses to which it
    // sent errors or whose path has a small MTU.
    ("net/ipv4/inet_peer_minttl", "1"),
    ("net/ipv4/inet_peer_maxttl", "1"),
    ("net/ipv6/route/mtu_expires", "1"),
    // IPv4 needs no path MTU: its packets leave without "don't fragment".
    ("net/ipv4/ip_no_pmtu_disc", "2"),
    ("net/ipv4/conf/all/accept_redirects", "0"),
    // A peer with IPv6 is a neighbour on the TUN device. The kernel drops stale neighbours even
    // if there are few, and allows as many as there can be peers.
    ("net/ipv4/neigh/default/gc_thresh1", "0"),
    ("net/ipv6/neigh/default/gc_thresh1", "0"),
    ("net/ipv6/neigh/default/gc_thresh2", "262144"),
    ("net/ipv6/neigh/default/gc_thresh3", "262144"),
    // An unknown NMI means that someone pressed the button to dump memory: panic, restart, forget.
    ("kernel/unknown_nmi_panic", "1"),
];

/// These have a directory for each device, and `default` for devices that are made later.
const NEIGHBOURS: [&str; 2] = ["/proc/sys/net/ipv4/neigh", "/proc/sys/net/ipv6/neigh"];
/// How long a neighbour stays after the last packet to it, in seconds.
const STALE: &str = "10";

/// Sets the table, and `gc_stale_time` for each device.
///
/// # Errors
/// [`Failure::Sysctls`] if a setting does not exist or cannot be written.
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
