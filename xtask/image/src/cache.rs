//! Where built kernels are kept: `kernel/<hash of everything that went in>`.
//!
//! They are outside the work tree, so that a clean clone does not spend minutes on a kernel that
//! exists. An entry is the whole tree in which `make` worked, in its place: with another initramfs
//! in it, `make` has little left to do. Each build of a kernel removes entries that are not marked
//! as finished, and entries unused for a month.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use mayfly_host::progress::step;
use mayfly_host::signals;

/// The cache.
pub struct Cache {
    root: PathBuf,
}

/// The lock for building: one process holds it at a time.
pub struct Turn<'a> {
    root: &'a Path,
    _lock: File,
}

/// A built tree, and the lock for working in it.
pub struct Held {
    tree: PathBuf,
    _lock: File,
}

impl Cache {
    /// Opens it.
    ///
    /// # Errors
    /// No directory to cache in, or it cannot be made.
    pub fn open() -> Result<Self> {
        let root = root()?.join("kernel");
        fs::create_dir_all(&root).with_context(|| unusable(&root))?;
        Ok(Self { root })
    }

    /// The tree of `key`, if it exists and is finished. Waits until no other process works in it.
    ///
    /// # Errors
    /// The cache cannot be written to.
    pub fn hold(&self, key: &str) -> Result<Option<Held>> {
        let entry = self.root.join(key);
        if !entry.join(FINISHED).is_file() {
            return Ok(None);
        }
        let lock = File::create(entry.join(LOCK)).with_context(|| unusable(&entry))?;
        if lock.try_lock().is_err() {
            step("wait while another process links this kernel", || {
                wait_for(&lock)
            })?;
        }
        // It may have been removed while we waited.
        if !entry.join(FINISHED).is_file() {
            return Ok(None);
        }
        mark(&entry, SystemTime::now())?;
        Ok(Some(Held {
            tree: entry.join(TREE),
            _lock: lock,
        }))
    }

    /// Waits until no other process builds. Removes what a killed build left, and what is old.
    ///
    /// # Errors
    /// The cache cannot be written to.
    pub fn take_turn(&self) -> Result<Turn<'_>> {
        let lock = File::create(self.root.join(LOCK)).with_context(|| unusable(&self.root))?;
        if lock.try_lock().is_err() {
            step("wait while another build of a kernel goes on", || {
                wait_for(&lock)
            })?;
        }
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?.path();
            if entry.join(TREE).is_dir() {
                sweep(&entry)?;
            }
        }
        Ok(Turn {
            root: &self.root,
            _lock: lock,
        })
    }
}

impl Turn<'_> {
    /// An empty directory for the tree of `key`. The next build removes it unless this one is
    /// [`Self::finish`]ed.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn begin(&self, key: &str) -> Result<PathBuf> {
        let tree = self.root.join(key).join(TREE);
        fs::create_dir_all(&tree).context("cannot make a directory to build in")?;
        Ok(tree)
    }

    /// Marks the tree of `key` as finished.
    ///
    /// # Errors
    /// It cannot be marked.
    pub fn finish(&self, key: &str) -> Result<()> {
        mark(&self.root.join(key), SystemTime::now()).context("cannot keep the kernel")
    }
}

impl Held {
    /// Where `make` works.
    pub fn tree(&self) -> &Path {
        &self.tree
    }
}

/// Waits for a lock that another process holds.
///
/// # Errors
/// A signal.
fn wait_for(lock: &File) -> Result<()> {
    while lock.try_lock().is_err() {
        signals::check()?;
        thread::sleep(LOOK);
    }
    Ok(())
}

/// Marks an entry as finished, and as used at that time.
fn mark(entry: &Path, time: SystemTime) -> Result<()> {
    let mark = File::create(entry.join(FINISHED)).with_context(|| unusable(entry))?;
    mark.set_modified(time).with_context(|| unusable(entry))
}

/// Removes an entry if it is not finished, or if it is old and not in use.
fn sweep(entry: &Path) -> Result<()> {
    let lock = File::create(entry.join(LOCK)).with_context(|| unusable(entry))?;
    if let Ok(mark) = fs::metadata(entry.join(FINISHED)) {
        let used = mark.modified().with_context(|| unusable(entry))?;
        let is_old = used.elapsed().is_ok_and(|age| age > KEPT);
        // The lock is held until it is removed: no other process begins to work in half of it.
        if !is_old || lock.try_lock().is_err() {
            return Ok(());
        }
    }
    fs::remove_dir_all(entry).with_context(|| unusable(entry))
}

fn unusable(root: &Path) -> String {
    format!("cannot use the cache {}", root.display())
}

/// How long an unused kernel is kept. Each takes 2 GB.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// Pause between two tries to get a lock.
const LOOK: Duration = Duration::from_millis(100);

const TREE: &str = "linux";
const FINISHED: &str = "finished";
const LOCK: &str = ".lock";

/// The cache of everything that is built once for all trees: `MAYFLY_CACHE`, or the user's.
///
/// # Errors
/// No environment variable says where.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_that_nobody_has_used_for_a_month_is_swept_out_unless_it_is_in_use() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache {
            root: root.path().to_owned(),
        };
        let turn = cache.take_turn().unwrap();
        for key in ["old", "used", "new"] {
            turn.begin(key).unwrap();
            turn.finish(key).unwrap();
        }
        drop(turn);
        let _held = cache.hold("used").unwrap().unwrap();
        let before = SystemTime::now() - KEPT - Duration::from_secs(60);
        for key in ["old", "used"] {
            mark(&root.path().join(key), before).unwrap();
        }

        let _turn = cache.take_turn().unwrap();
        let there = ["old", "used", "new"].map(|key| root.path().join(key).exists());
        assert_eq!(there, [false, true, true]);
    }

    #[test]
    fn a_tree_that_was_not_finished_is_swept_out_and_a_finished_one_kept() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache {
            root: root.path().to_owned(),
        };
        let turn = cache.take_turn().unwrap();
        turn.begin("whole").unwrap();
        turn.finish("whole").unwrap();
        let half = turn.begin("half").unwrap();
        drop(turn);
        assert!(cache.hold("half").unwrap().is_none());

        let _turn = cache.take_turn().unwrap();
        assert!(!half.exists());
        let held = cache.hold("whole").unwrap().unwrap();
        assert!(held.tree().is_dir());
    }
}
