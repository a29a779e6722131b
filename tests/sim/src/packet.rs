//! The parts of outer packets that an eavesdropper can read.

/// WireGuard's message types, as the first byte of a datagram.
pub const INITIATION: u8 = 1;
/// See [`INITIATION`].
pub const RESPONSE: u8 = 2;
/// See [`INITIATION`].
pub const COOKIE: u8 = 3;
/// See [`INITIATION`].
pub const TRANSPORT: u8 = 4;
/// Length of a transport message with no content, in bytes.
pub const KEEPALIVE_LEN: usize = 32;
