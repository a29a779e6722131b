//! Zeroes what calls leave on a thread's stack and in its registers.

use std::hint::black_box;

use mayfly_sys::registers;

/// Bytes of stack that a TLS handshake uses, with room to spare.
const DEPTH: usize = 96 * 1024;

/// Zeroes the stack below the caller. Keys, tickets and addresses were passed there by value, and
/// on a quiet node nothing else would overwrite them. Code that the compiler inlines into the
/// caller does not use the stack below it, so the work must be in a function that is never inlined.
#[inline(never)]
pub(crate) fn scrub() {
    let mut below = [0_u8; DEPTH];
    black_box(&mut below);
    registers::scrub();
}
