//! What calls leave on a thread's stack and in its registers.

use std::hint::black_box;

use mayfly_sys::registers;

/// As deep as a TLS handshake goes, with room to spare, in bytes.
const DEPTH: usize = 96 * 1024;

/// Zeroes the stack below the caller: keys, tickets and addresses were passed there by value,
/// and on a quiet node nothing else would write over them. What the compiler inlines into the
/// caller is not below it: the work belongs in a function that is never inlined.
#[inline(never)]
pub fn scrub() {
    let mut below = [0_u8; DEPTH];
    black_box(&mut below);
    registers::scrub();
}
