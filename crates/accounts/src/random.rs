//! Randomness from the system.

use aws_lc_rs::rand;

use crate::refusal::Refusal;

/// `N` random bytes.
///
/// # Errors
/// [`Refusal::Internal`].
pub fn bytes<const N: usize>() -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| Refusal::Internal)?;
    Ok(bytes)
}
