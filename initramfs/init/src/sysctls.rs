//! Kernel settings of the machine as a whole. The daemon sets those of its own trade.

use mayfly_sys::sysctl;

use crate::Failure;

const SETTINGS: [(&str, &str); 2] = [
    // Nobody looks into another process, and nobody turns this back.
    ("kernel/yama/ptrace_scope", "3"),
    // The kernel keeps no round-trip times of the addresses that it has talked to.
    ("net/ipv4/tcp_no_metrics_save", "1"),
];

/// Sets the table.
///
/// # Errors
/// [`Failure::Sysctls`]
pub fn set_all() -> Result<(), Failure> {
    sysctl::set_all(&SETTINGS).map_err(|_| Failure::Sysctls)
}
