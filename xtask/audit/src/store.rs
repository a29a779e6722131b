//! The account service before and after a connect: its files, its memory, and its output.
//!
//! Its clock can be moved (by libfaketime, which reads a file), so that the hour of the daily write
//! comes when it is needed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::process;
use mayfly_host::signals;
use mayfly_lab::network::Lab;
use mayfly_lab::operator::{Operator, Setting, USER};
use sha2::{Digest as _, Sha256};

/// The library that replaces the service's calls for the time.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
const DAY: u64 = 86_400;
/// A little after the hour of the daily write.
const TIME_OF_WRITE: u64 = 3 * 3600 + 5;
/// The service looks at its clock every 10 s.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(200);

/// What the daily write may change.
pub(super) const MARKS: [&str; 4] = [
    "has_authenticated",
    "has_connected",
    "client_version",
    "extension_version",
];

/// The lab's account service.
pub(crate) struct Store<'a> {
    operator: &'a Operator,
    clock: PathBuf,
    prints_to: PathBuf,
    copy: PathBuf,
}

/// The settings with which the service is started, so that it can be examined.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn setting<'a>(lab: &Lab, users: &'a [&'a str]) -> Result<Setting<'a>> {
    let clock = lab.file("clock");
    fs::write(&clock, "+0").context("cannot write a clock")?;
    Ok(Setting {
        users,
        environment: vec![
            ("LD_PRELOAD", LIBRARY.to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", clock.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ],
        prints_to: Some(lab.file("accounts.out")),
    })
}

/// Every file of the service, with what would show that it was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Files(BTreeMap<PathBuf, Stamp>);

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    hash: [u8; 32],
}

impl<'a> Store<'a> {
    /// The store behind a service that was started with [`setting`].
    pub(crate) fn of(lab: &Lab, operator: &'a Operator) -> Self {
        Self {
            operator,
            clock: lab.file("clock"),
            prints_to: lab.file("accounts.out"),
            copy: lab.file("accounts.copy"),
        }
    }

    /// The present state of its files.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn files(&self) -> Result<Files> {
        let mut files = BTreeMap::new();
        stamp(&self.operator.data, &mut files)?;
        Ok(Files(files))
    }

    /// The content of all its files, one after the other.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn content(&self) -> Result<Vec<u8>> {
        let files = self.files()?.0.into_keys();
        let each = files.map(|path| fs::read(&path).context("cannot read the service's files"));
        Ok(each.collect::<Result<Vec<_>>>()?.concat())
    }

    /// The columns of the database's tables, as `TABLE.COLUMN`, in their order.
    ///
    /// # Errors
    /// sqlite3 refuses.
    pub(crate) fn columns(&self) -> Result<Vec<String>> {
        let columns = self.ask(
            "select t.name || '.' || c.name from sqlite_schema t, pragma_table_info(t.name) c \
             where t.type = 'table' order by t.name, c.cid",
        )?;
        Ok(columns.lines().map(str::to_owned).collect())
    }

    /// Whether it has printed nothing.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn is_silent(&self) -> Result<bool> {
        Ok(fs::read(&self.prints_to)?.is_empty())
    }

    /// All memory of the service's process that can be written to.
    ///
    /// # Errors
    /// The kernel does not let it be read.
    pub(crate) fn memory(&self) -> Result<Vec<u8>> {
        let pid = self.operator.service();
        let maps = File::open(format!("/proc/{pid}/maps"))?;
        let memory = File::open(format!("/proc/{pid}/mem"))?;
        let mut all = Vec::new();
        for line in BufReader::new(maps).lines() {
            let Some((from, to)) = writable(&line?) else {
                continue;
            };
            let mut part = vec![0; usize::try_from(to - from)?];
            // A stack may shrink while it is read.
            if memory.read_exact_at(&mut part, from).is_ok() {
                all.extend(part);
            }
        }
        ensure!(!all.is_empty(), "the account service shows no memory");
        Ok(all)
    }

    /// Whether the daily write changes once what it may, and nothing else. The hour comes, and comes
    /// again a day later.
    ///
    /// # Errors
    /// The service is gone, or sqlite3.
    pub(crate) fn daily_write_is_all(&self) -> Result<bool> {
        let (before, files) = (self.row()?, self.files()?);
        self.move_clock(1)?;
        self.await_change(&files)?;
        let after = self.row()?;
        let files = self.files()?;
        self.move_clock(2)?;
        // Twice as long as the service may take to notice that the hour has come.
        let rest = Instant::now();
        while rest.elapsed() < Duration::from_secs(20) {
            signals::check()?;
            thread::sleep(LOOK);
        }
        let again = self.row()?;
        let database = self.database();
        let once = self.files()?.0.get(&database) == files.0.get(&database);
        Ok(only_marks(&before, &after) && again == after && once)
    }

    /// Moves the clock to the hour of the daily write, a number of days from now.
    fn move_clock(&self, days: u64) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let then = (now / DAY + days) * DAY + TIME_OF_WRITE;
        fs::write(&self.clock, format!("+{}", then - now)).context("cannot write a clock")
    }

    fn await_change(&self, files: &Files) -> Result<()> {
        let database = self.database();
        let started = Instant::now();
        while self.files()?.0.get(&database) == files.0.get(&database) {
            signals::check()?;
            ensure!(
                started.elapsed() < PATIENCE,
                "the daily write does not come"
            );
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// The customer's record, column by column, from a copy.
    fn row(&self) -> Result<BTreeMap<String, String>> {
        let lines = self.ask(&format!(
            ".mode line\nselect * from account where username = '{USER}'"
        ))?;
        let columns = lines.lines().filter_map(|line| line.split_once(" = "));
        let columns: BTreeMap<_, _> = columns
            .map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
            .collect();
        ensure!(
            columns.contains_key("updated_at"),
            "the store has no record"
        );
        Ok(columns)
    }

    fn database(&self) -> PathBuf {
        self.operator.data.join("accounts.db")
    }

    /// The answer of sqlite3 for a copy of the database.
    fn ask(&self, words: &str) -> Result<String> {
        fs::copy(self.database(), &self.copy)?;
        let mut command = process::command(["sqlite3"]);
        command.arg(&self.copy).args(words.lines());
        process::output(&mut command, "sqlite3", PATIENCE)
    }
}

/// Whether some marks were set and nothing else differs.
fn only_marks(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> bool {
    let differ = |name: &&String| before.get(*name) != after.get(*name);
    let changed: Vec<_> = after.keys().filter(differ).collect();
    !changed.is_empty()
        && changed.iter().all(|name| MARKS.contains(&name.as_str()))
        && before.len() == after.len()
}

fn stamp(directory: &Path, files: &mut BTreeMap<PathBuf, Stamp>) -> Result<()> {
    for entry in fs::read_dir(directory).context("cannot read the service's directory")? {
        let path = entry?.path();
        if path.is_dir() {
            stamp(&path, files)?;
            continue;
        }
        let about = fs::metadata(&path)?;
        let stamp = Stamp {
            modified: (about.mtime(), about.mtime_nsec()),
            hash: Sha256::digest(fs::read(&path)?).into(),
        };
        files.insert(path, stamp);
    }
    Ok(())
}

/// `FROM-TO rw.. ...` (proc(5)).
fn writable(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    rest.starts_with("rw")
        .then_some((number(from)?, number(to)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = |text: &&str| (*text).to_owned();
        columns
            .iter()
            .map(|(name, value)| (own(name), own(value)))
            .collect()
    }

    #[test]
    fn only_marks_may_change_and_some_have_to() {
        let before = row(&[("updated_at", "7"), ("has_connected", "0")]);
        let marked = row(&[("updated_at", "7"), ("has_connected", "1")]);
        let edited = row(&[("updated_at", "8"), ("has_connected", "1")]);
        assert!(only_marks(&before, &marked));
        assert!(!only_marks(&before, &before));
        assert!(!only_marks(&before, &edited));
    }

    #[test]
    fn memory_that_can_be_written_is_told_from_the_rest() {
        let line = "7f00-7f10 rw-p 00000000 00:00 0 [heap]";
        assert_eq!(writable(line), Some((0x7f00, 0x7f10)));
        assert_eq!(writable("7f00-7f10 r-xp 00000000 fe:01 7 /bin/x"), None);
    }

    #[test]
    fn a_file_that_was_touched_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("accounts.db");
        fs::write(&file, "a").unwrap();
        let now = || {
            let mut files = BTreeMap::new();
            stamp(directory.path(), &mut files).unwrap();
            Files(files)
        };
        let before = now();
        assert_eq!(before, now());
        let later = SystemTime::now() + Duration::from_secs(1);
        File::open(&file).unwrap().set_modified(later).unwrap();
        assert_ne!(before, now());
    }
}
