//! Randomness from the system.

use std::io;

use aws_lc_rs::rand;

/// The system returned no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness")]
pub struct NoRandomness;

impl From<NoRandomness> for io::Error {
    fn from(error: NoRandomness) -> Self {
        Self::other(error)
    }
}

/// `N` random bytes.
///
/// # Errors
/// [`NoRandomness`].
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
