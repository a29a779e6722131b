//! How much memory the machine has.

use std::io;

use nix::sys::sysinfo::sysinfo;

/// RAM of the machine, in bytes.
///
/// # Errors
/// The kernel does not answer.
pub fn total() -> io::Result<u64> {
    Ok(sysinfo()?.ram_total())
}
