//! Where finished kernels are kept: `kernel/<hash of everything that went in>`.
//!
//! Outside the tree, so that a clean clone does not build for minutes what is there.
//! An entry appears whole or not at all.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::progress::say;

/// The cache.
pub struct Cache {
    root: PathBuf,
}

/// The right to build: one at a time has it.
pub struct Turn<'a> {
    root: &'a Path,
    _lock: File,
}

impl Cache {
    /// Where it is.
    ///
    /// # Errors
    /// No directory to cache in, or it cannot be made.
    pub fn open() -> Result<Self> {
        let root = root()?.join("kernel");
        fs::create_dir_all(&root).with_context(|| unusable(&root))?;
        Ok(Self { root })
    }

    /// The directory of `key`, if it is there.
    pub fn find(&self, key: &str) -> Option<PathBuf> {
        Some(self.root.join(key)).filter(|entry| entry.is_dir())
    }

    /// Waits until nobody else builds. Sweeps out what a killed build left.
    ///
    /// # Errors
    /// The cache cannot be written to.
    pub fn take_turn(&self) -> Result<Turn<'_>> {
        let lock = File::create(self.root.join(".lock")).with_context(|| unusable(&self.root))?;
        if lock.try_lock().is_err() {
            say("waiting for another build of a kernel");
            lock.lock().with_context(|| unusable(&self.root))?;
        }
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_dir_all(entry.path()).with_context(|| unusable(&self.root))?;
            }
        }
        Ok(Turn {
            root: &self.root,
            _lock: lock,
        })
    }
}

impl Turn<'_> {
    /// A directory to build in, gone when dropped.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self) -> Result<TempDir> {
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(self.root)
            .context("cannot make a directory to build in")
    }

    /// Makes `finished` the entry of `key`.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn keep(&self, key: &str, finished: TempDir) -> Result<PathBuf> {
        let entry = self.root.join(key);
        fs::rename(finished.path(), &entry).context("cannot keep the kernel")?;
        let _moved = finished.keep();
        Ok(entry)
    }
}

fn unusable(root: &Path) -> String {
    format!("cannot use the cache {}", root.display())
}

const UNFINISHED: &str = ".build-";

pub fn root() -> Result<PathBuf> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(cache) = variable("MAYFLY_CACHE") {
        return Ok(PathBuf::from(cache));
    }
    if let Some(cache) = variable("XDG_CACHE_HOME") {
        return Ok(PathBuf::from(cache).join("mayfly"));
    }
    let home = variable("HOME").context("none of MAYFLY_CACHE, XDG_CACHE_HOME, HOME is set")?;
    Ok(PathBuf::from(home).join(".cache/mayfly"))
}
