//! Passwords: argon2id, a few at once, and as slow for a user who does not exist.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::record::PasswordHash;
use crate::refusal::Refusal;

/// OWASP's Password Storage Cheat Sheet: m = 19 MiB, t = 2, p = 1.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The hasher. Each hash takes a thread of its own for some 20 ms, so that neither the
/// requests of others nor the counter wait for it.
pub struct Passwords {
    turns: Arc<Semaphore>,
    /// What an unknown user's password is held against.
    dummy: PasswordHash,
}

/// Hashes a password with a fresh salt. Slow on purpose.
///
/// # Errors
/// [`Refusal::Internal`].
pub fn hash(password: &str) -> Result<PasswordHash, Refusal> {
    let hash = argon2()?.hash_password(password.as_bytes());
    hash.map(|hash| PasswordHash(hash.to_string()))
        .map_err(|_| Refusal::Internal)
}

fn argon2() -> Result<Argon2<'static>, Refusal> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| Refusal::Internal)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl Passwords {
    /// A hasher that works on `at_once` passwords at a time.
    ///
    /// # Errors
    /// [`Refusal::Internal`].
    pub fn new(at_once: usize) -> Result<Self, Refusal> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(at_once)),
            dummy: hash("nobody's password")?,
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Internal`].
    pub async fn hash(&self, password: Zeroizing<String>) -> Result<PasswordHash, Refusal> {
        let turn = self.turn().await?;
        let work = spawn_blocking(move || {
            let _turn = turn;
            hash(&password)
        });
        work.await.map_err(|_| Refusal::Internal)?
    }

    /// Whether `password` is the one under `hash`; without a hash it is as slow, and no.
    ///
    /// # Errors
    /// [`Refusal::Busy`], [`Refusal::Internal`].
    pub async fn verify(
        &self,
        password: Zeroizing<String>,
        hash: Option<PasswordHash>,
    ) -> Result<bool, Refusal> {
        let turn = self.turn().await?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        let work = spawn_blocking(move || {
            let _turn = turn;
            let right = argon2()?.verify_password(password.as_bytes(), hash.0.as_str());
            Ok::<_, Refusal>(right.is_ok())
        });
        let right = work.await.map_err(|_| Refusal::Internal)??;
        Ok(right && known)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        turn.map_err(|_| Refusal::Busy)?
            .map_err(|_| Refusal::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let passwords = Passwords::new(1).unwrap();
        let stored = hash("correct horse").unwrap();
        assert!(stored.0.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let verify = |text: &str, hash| passwords.verify(Zeroizing::new(text.to_owned()), hash);
        assert!(verify("correct horse", Some(stored.clone())).await.unwrap());
        assert!(!verify("wrong horse", Some(stored)).await.unwrap());
        assert!(!verify("nobody's password", None).await.unwrap());
    }
}
