//! How much of memory customers' connections and fragments may take, and how long they stay.
//!
//! All sizes follow from the machine's memory:
//!
//! ```text
//!   connections tracked   memory / 16 KiB: each takes some 1 KiB (the entry and its extensions
//!                         384 bytes, its place in the hash 8, in the lists of the quotas 2 x 96,
//!                         and in the worst case elements of two sets, 2 x 200), so all of them
//!                         together take a sixteenth of memory
//!   buckets of the hash   as many
//!   waiting fragments     memory / 64 in each of three queues, 4 to 64 MiB
//! ```
//!
//! 128 MiB of memory are 7,000 connections, 1 GiB is 65,536, 16 GiB are a million. What one peer
//! may have of them stands in the daemon's firewall (`crates/node/src/firewall/shares.rs`).
//!
//! A connection that has ended, or has never begun, is kept for half a minute at most. One that is
//! established and silent is kept as long as RFC 5382 (TCP, section 5) and RFC 4787 (UDP, section
//! 4.3) ask for.

use mayfly_sys::{memory, sysctl};

use crate::Failure;

/// Bytes of memory for each connection that can be tracked.
const MEMORY_A_FLOW: u64 = 16 << 10;
/// No machine has more: the hash alone takes 16 MiB then.
const MOST_FLOWS: u64 = 1 << 21;

/// Of memory, for the fragments in one queue, in bytes.
const FRAGMENTS_PART: u64 = 64;
const FRAGMENTS_LEAST: u64 = 4 << 20;
const FRAGMENTS_MOST: u64 = 64 << 20;
/// Queues: of IPv4, of IPv6, and of IPv6 before connection tracking.
const FRAGMENT_QUEUES: [&str; 3] = [
    "net/ipv4/ipfrag_high_thresh",
    "net/ipv6/ip6frag_high_thresh",
    "net/netfilter/nf_conntrack_frag6_high_thresh",
];

/// In seconds.
const TIMES: [(&str, &str); 16] = [
    ("net/netfilter/nf_conntrack_tcp_timeout_established", "7440"),
    ("net/netfilter/nf_conntrack_tcp_timeout_syn_sent", "30"),
    ("net/netfilter/nf_conntrack_tcp_timeout_syn_recv", "30"),
    ("net/netfilter/nf_conntrack_tcp_timeout_fin_wait", "30"),
    ("net/netfilter/nf_conntrack_tcp_timeout_close_wait", "30"),
    ("net/netfilter/nf_conntrack_tcp_timeout_last_ack", "30"),
    ("net/netfilter/nf_conntrack_tcp_timeout_time_wait", "30"),
    ("net/netfilter/nf_conntrack_tcp_timeout_max_retrans", "120"),
    (
        "net/netfilter/nf_conntrack_tcp_timeout_unacknowledged",
        "120",
    ),
    // A question to a resolver, and its answer.
    ("net/netfilter/nf_conntrack_udp_timeout", "15"),
    ("net/netfilter/nf_conntrack_udp_timeout_stream", "120"),
    ("net/netfilter/nf_conntrack_icmp_timeout", "10"),
    ("net/netfilter/nf_conntrack_icmpv6_timeout", "10"),
    ("net/netfilter/nf_conntrack_generic_timeout", "60"),
    // Fragments that wait for the rest of their packet.
    ("net/ipv4/ipfrag_time", "5"),
    ("net/ipv6/ip6frag_time", "5"),
];
/// The same, of IPv6 before connection tracking.
const FRAGMENTS_TIME: (&str, &str) = ("net/netfilter/nf_conntrack_frag6_timeout", "5");

/// Sets sizes and times.
///
/// # Errors
/// [`Failure::Sysctls`] if a setting does not exist or cannot be written, or the kernel does not say
/// how much memory there is.
pub fn set_all() -> Result<(), Failure> {
    let memory = memory::total().map_err(|_| Failure::Sysctls)?;
    let flows = flows(memory).to_string();
    let fragments = fragments(memory).to_string();
    let sizes = [
        ("net/netfilter/nf_conntrack_max", flows.as_str()),
        ("net/netfilter/nf_conntrack_buckets", flows.as_str()),
    ];
    let queues = FRAGMENT_QUEUES.map(|queue| (queue, fragments.as_str()));
    let settings = sizes.into_iter().chain(queues).chain(TIMES);
    let settings: Vec<_> = settings.chain([FRAGMENTS_TIME]).collect();
    sysctl::set_all(&settings).map_err(|_| Failure::Sysctls)
}

fn flows(memory: u64) -> u64 {
    (memory / MEMORY_A_FLOW).min(MOST_FLOWS)
}

fn fragments(memory: u64) -> u64 {
    (memory / FRAGMENTS_PART).clamp(FRAGMENTS_LEAST, FRAGMENTS_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_follow_memory() {
        let of = |mib: u64| (flows(mib << 20), fragments(mib << 20) >> 20);
        assert_eq!(of(112), (7_168, 4));
        assert_eq!(of(1 << 10), (65_536, 16));
        assert_eq!(of(16 << 10), (1 << 20, 64));
        assert_eq!(of(1 << 20), (MOST_FLOWS, 64));
    }
}
