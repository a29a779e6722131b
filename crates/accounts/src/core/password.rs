//! Passwords: argon2id, a few at a time, and equally slow for a user who does not exist.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::{self, Output};
use argon2::password_hash::{self, PasswordHasher as _};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::core::record::PasswordHash;

/// OWASP's Password Storage Cheat Sheet: m = 19 MiB, t = 2, p = 1.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a password was not hashed or not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too many passwords are waiting to be hashed.
    #[error("too many passwords are waiting to be hashed")]
    Busy,
    /// Argon2 failed, for example because there is no memory, or no randomness for the salt.
    #[error("the password cannot be hashed: {0}")]
    Argon2(#[from] password_hash::Error),
    /// The stored hash is not an Argon2 hash.
    #[error("the stored hash is not an Argon2 hash")]
    NotArgon2,
    /// The thread that hashed the password ended without a result.
    #[error("the thread that hashed the password failed")]
    Task,
}

/// The hasher. Each hash takes a thread of its own for about 20 ms, so that neither other
/// requests nor the counter wait for it.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    memories: Arc<Memories>,
    /// The hash that an unknown user's password is compared with.
    dummy: PasswordHash,
}

/// Hashes a password with a fresh salt. This is slow on purpose.
///
/// # Errors
/// [`Error::Argon2`].
pub fn hash(password: &str) -> Result<PasswordHash, Error> {
    let hash = argon2()?.hash_password(password.as_bytes())?;
    Ok(PasswordHash(hash.to_string()))
}

fn argon2() -> Result<Argon2<'static>, password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

impl Passwords {
    /// A hasher that works on `at_once` passwords at the same time.
    ///
    /// # Errors
    /// [`Error::Argon2`].
    pub(crate) fn new(at_once: usize) -> Result<Self, Error> {
        Ok(Self {
            turns: Arc::new(Semaphore::new(at_once)),
            memories: Arc::default(),
            dummy: hash("nobody's password")?,
        })
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::Argon2`], [`Error::Task`].
    pub(crate) async fn hash(&self, password: Zeroizing<String>) -> Result<PasswordHash, Error> {
        let turn = self.turn().await?;
        let work = spawn_blocking(move || {
            let _turn = turn;
            hash(&password)
        });
        work.await.map_err(|_| Error::Task)?
    }

    /// Whether `password` matches `hash`. Without a hash the answer is no, and takes as long.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::NotArgon2`], [`Error::Task`].
    pub(crate) async fn verify(
        &self,
        password: Zeroizing<String>,
        hash: Option<PasswordHash>,
    ) -> Result<bool, Error> {
        let turn = self.turn().await?;
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| self.dummy.clone());
        let memories = self.memories.clone();
        let work = spawn_blocking(move || {
            let _turn = turn;
            memories.with(|memory| is_under(&password, &hash, memory))
        });
        let right = work.await.map_err(|_| Error::Task)?;
        Ok(right.ok_or(Error::NotArgon2)? && known)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        let turn = timeout(PATIENCE, self.turns.clone().acquire_owned()).await;
        // The inner error would be a closed semaphore, and nothing closes this one.
        turn.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)
    }
}

/// The memory that argon2 fills for one password. It is zeroed, and kept for the next password:
/// fresh pages from the system take as long as the hash itself, and whether the allocator asks for
/// fresh pages varies from one call to the next.
#[derive(Default)]
struct Memories(Mutex<Vec<Vec<Block>>>);

impl Memories {
    fn with<T>(&self, work: impl FnOnce(&mut Vec<Block>) -> T) -> T {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = kept.unwrap_or_default();
        let done = work(&mut memory);
        memory.fill(Block::new());
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.push(memory);
        done
    }
}

/// Whether the password matches the hash. `None`: the hash is not an Argon2 hash.
fn is_under(password: &str, hash: &PasswordHash, memory: &mut Vec<Block>) -> Option<bool> {
    let stored = phc::PasswordHash::new(&hash.0).ok()?;
    let (salt, expected) = (stored.salt?, stored.hash?);
    let algorithm = Algorithm::try_from(stored.algorithm.as_str()).ok()?;
    let version = Version::try_from(stored.version?).ok()?;
    let params = Params::try_from(&stored).ok()?;
    memory.resize(params.block_count(), Block::new());
    let mut found = Zeroizing::new(vec![0; expected.len()]);
    Argon2::new(algorithm, version, params)
        .hash_password_into_with_memory(password.as_bytes(), &salt, &mut found, memory)
        .ok()?;
    // `Output` compares in constant time.
    Some(Output::new(&found).ok()? == expected)
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

    #[tokio::test]
    async fn a_hash_of_other_costs_is_held_against_as_well() {
        let (cheap, passwords) = (Params::new(64, 1, 1, None), Passwords::new(1).unwrap());
        let argon2 = Argon2::new(Algorithm::Argon2i, Version::V0x10, cheap.unwrap());
        let cheap = argon2.hash_password(b"correct horse").unwrap();
        for hash in [
            hash("correct horse").unwrap(),
            PasswordHash(cheap.to_string()),
        ] {
            let verify = |text: &str| passwords.verify(text.to_owned().into(), Some(hash.clone()));
            assert!(verify("correct horse").await.unwrap());
            assert!(!verify("wrong horse").await.unwrap());
        }
        let broken = PasswordHash("$argon2id$v=19$m=19456".to_owned());
        let answer = passwords.verify("correct horse".to_owned().into(), Some(broken));
        assert_eq!(answer.await, Err(Error::NotArgon2));
    }

    #[test]
    fn nothing_is_left_in_memory_that_waits() {
        let memories = Memories::default();
        let hash = hash("correct horse").unwrap();
        memories.with(|memory| is_under("correct horse", &hash, memory));
        memories.with(|memory| {
            assert_eq!(memory.len(), MEMORY_KIB as usize);
            let mut words = memory.iter().flat_map(AsRef::as_ref);
            assert!(words.all(|&word: &u64| word == 0));
        });
    }
}
