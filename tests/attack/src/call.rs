//! System calls without a library, as an attacker makes them.

use std::ffi::CStr;

use nix::errno::Errno;

/// An argument of a system call.
pub(crate) enum Argument<'a> {
    Number(i64),
    Text(&'a CStr),
    /// Memory that the kernel reads or fills.
    Bytes(&'a mut [u8]),
}

/// Makes a call and returns its result.
///
/// # Errors
/// The kernel's error.
pub(crate) fn call<const N: usize>(
    number: libc::c_long,
    arguments: [Argument<'_>; N],
) -> Result<i64, Errno> {
    let mut words = [0; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = match argument {
            Argument::Number(number) => number,
            Argument::Text(text) => text.as_ptr() as i64,
            Argument::Bytes(bytes) => bytes.as_mut_ptr() as i64,
        };
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: pointers among the arguments come from borrows that outlive the call. The attempts,
    // all in this crate, give the sizes that the kernel expects. No attempt unmaps or remaps memory
    // that the program uses.
    let returned = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    Errno::result(returned)
}

/// A number.
pub(crate) const fn number(number: i64) -> Argument<'static> {
    Argument::Number(number)
}

/// One flag or several.
pub(crate) const fn flags(flags: libc::c_int) -> Argument<'static> {
    Argument::Number(flags as i64)
}

/// A path or a name.
pub(crate) const fn text(text: &CStr) -> Argument<'_> {
    Argument::Text(text)
}

/// Memory.
pub(crate) const fn bytes(bytes: &mut [u8]) -> Argument<'_> {
    Argument::Bytes(bytes)
}
