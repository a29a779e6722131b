//! The shop's key, which authorizes payments. The service stores only its hash.
//!
//! The file holds the hashes of the newest key and of the one before, so that a shop can change to
//! a new key without losing a payment. The file is read for every payment, because the command
//! line makes keys beside a running service.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use crate::core::{files, random};

/// The keys that are accepted.
pub(crate) struct ShopKeys {
    path: PathBuf,
}

impl ShopKeys {
    /// The keys in a file, which may not exist yet.
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether `shown` is one of the keys; each is compared in constant time.
    ///
    /// # Errors
    /// The file cannot be read, or holds anything other than hashes of keys.
    pub(crate) async fn accepts(&self, shown: &str) -> io::Result<bool> {
        let path = self.path.clone();
        let known = spawn_blocking(move || read(&path)).await??;
        // One round is enough: the key has as much randomness as the hash has bits.
        let shown = digest(&SHA256, shown.as_bytes());
        let right = known
            .iter()
            .filter(|key| verify_slices_are_equal(key, shown.as_ref()).is_ok())
            .count();
        Ok(right > 0)
    }

    /// Makes a key of 32 random bytes, of which only the hash is kept. The former key stays valid,
    /// unless the new one is to be `alone`.
    ///
    /// # Errors
    /// There are no random bytes, or the file cannot be read or written.
    pub(crate) fn make(&self, alone: bool) -> io::Result<Zeroizing<String>> {
        let bytes = random::bytes::<32>()?;
        let key = Zeroizing::new(URL_SAFE_NO_PAD.encode(*Zeroizing::new(bytes)));
        let mut lines = vec![STANDARD.encode(digest(&SHA256, key.as_bytes()))];
        if !alone {
            let newest = read(&self.path)?.into_iter().next();
            lines.extend(newest.map(|hash| STANDARD.encode(hash)));
        }
        files::write_private(&self.path, lines.join("\n").as_bytes())?;
        Ok(key)
    }
}

fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = match files::read_private(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    let text = std::str::from_utf8(&text).unwrap_or_default();
    let hashes = text.lines().map(|line| STANDARD.decode(line).ok());
    hashes.collect::<Option<_>>().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "expected hashes of keys, as `keys shop` writes them",
        )
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[tokio::test]
    async fn the_newest_key_and_the_one_before_are_taken() {
        let directory = TempDir::new().unwrap();
        let keys = ShopKeys::new(directory.path().join("shop.key"));
        assert!(!keys.accepts("").await.unwrap());
        let made = [0, 1, 2].map(|_| keys.make(false).unwrap());
        assert!(!keys.accepts(&made[0]).await.unwrap());
        assert!(keys.accepts(&made[1]).await.unwrap());
        assert!(keys.accepts(&made[2]).await.unwrap());
    }

    #[tokio::test]
    async fn a_key_can_be_made_that_ends_all_others() {
        let directory = TempDir::new().unwrap();
        let keys = ShopKeys::new(directory.path().join("shop.key"));
        let (leaked, new) = (keys.make(false).unwrap(), keys.make(true).unwrap());
        assert!(!keys.accepts(&leaked).await.unwrap());
        assert!(keys.accepts(&new).await.unwrap());
    }

    #[test]
    fn the_key_is_in_no_file() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("shop.key");
        let key = ShopKeys::new(path.clone()).make(false).unwrap();
        let kept = std::fs::read_to_string(path).unwrap();
        assert!(!kept.contains(key.as_str()));
    }
}
