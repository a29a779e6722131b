//! When the C library's allocator returns memory to the kernel.

use libc::{c_int, mallopt};

/// A block of this many bytes or more is a mapping of its own, which goes back to the kernel when
/// it is freed.
const LARGE: c_int = 128 * 1024;

/// Makes small blocks stay in the process for its next ones, so that only large ones go back to the
/// kernel.
///
/// Before glibc first shortens a thread's heap, it reads `/proc/sys/vm/overcommit_memory` (its
/// `check_may_shrink_heap`). A confined process may open no file and would be killed for it, at the
/// moment when many peers have gone. A fixed threshold also keeps glibc from raising it when large
/// blocks are freed, as it otherwise does.
///
/// To be called before the process starts other threads.
pub fn keep_small_blocks() {
    // SAFETY: mallopt takes two numbers and changes only the allocator's settings. No other thread
    // could read them at the same time.
    unsafe {
        mallopt(libc::M_TRIM_THRESHOLD, c_int::MAX);
        mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
