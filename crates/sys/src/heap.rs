//! How the C library's allocator deals with the kernel.

use libc::{c_int, mallopt};

/// Blocks of so many bytes are the kernel's own, each by itself, and go back to it when freed.
const LARGE: c_int = 128 * 1024;

/// Has small blocks stay in the process for its next ones, and only large ones go back.
///
/// To shorten a thread's heap, glibc first reads `/proc/sys/vm/overcommit_memory` (its
/// `check_may_shrink_heap`), at whatever time that first comes. A confined process opens no file,
/// and would be killed for it: just when many peers have gone. Nor does glibc learn from what is
/// freed that larger blocks should stay, too, as it does unless a limit is set.
///
/// Before any thread but the first.
pub fn keep_small_blocks() {
    // SAFETY: mallopt takes two numbers, and changes the allocator's settings only. There are no
    // other threads that could read them meanwhile.
    unsafe {
        mallopt(libc::M_TRIM_THRESHOLD, c_int::MAX);
        mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
