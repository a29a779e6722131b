//! WireGuard's constants, from the paper (Donenfeld, "WireGuard: Next Generation Kernel
//! Network Tunnel", 2020-06-01). A constant of our own choice stands beside its use.

use std::time::Duration;

/// Section 6.1: how long a keypair may seal and open. A session ends when nothing was received
/// from its peer for as long.
pub(crate) const REJECT_AFTER_TIME: Duration = Duration::from_secs(180);

/// Section 6.1: an initiator that gets no response starts again after this long.
pub(crate) const REKEY_TIMEOUT: Duration = Duration::from_secs(5);

/// Section 6.1: a passive keepalive is sent this long after unanswered data.
pub(crate) const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Section 6.1: the first message counter that no keypair may use, 2^64 - 2^13 - 1.
pub(crate) const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);

/// Section 5.4: the input that the hashes of the handshake start from.
pub(crate) const CONSTRUCTION: &[u8] = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
/// See `CONSTRUCTION`.
pub(crate) const IDENTIFIER: &[u8] = b"WireGuard v1 zx2c4 Jason@zx2c4.com";

/// Section 5.4: message types, each with its three reserved zero bytes.
pub(crate) const INITIATION: u32 = 1;
pub(crate) const RESPONSE: u32 = 2;
pub(crate) const COOKIE_REPLY: u32 = 3;
pub(crate) const TRANSPORT: u32 = 4;

/// Sections 5.4.2 to 5.4.7: lengths of the messages, in bytes.
pub(crate) const INITIATION_LEN: usize = 148;
pub(crate) const RESPONSE_LEN: usize = 92;
pub(crate) const COOKIE_REPLY_LEN: usize = 64;
/// Section 5.4.6: header and tag of a transport message. A keepalive consists of these alone.
pub(crate) const TRANSPORT_OVERHEAD: usize = 32;

/// Section 5.4.6: inner packets are padded with zeros to a multiple of this many bytes.
pub(crate) const PADDING: usize = 16;
