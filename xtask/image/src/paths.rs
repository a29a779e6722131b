//! Paths of the machine that builds, which nothing that ships may hold.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::tree;

use super::cache;

/// What a build calls the tree, wherever it is.
const TREE: &str = "/mayfly";

/// The paths that compilers see, and what they write instead.
///
/// # Errors
/// HOME is not set.
pub(crate) fn replaced() -> Result<[(PathBuf, &'static str); 2]> {
    Ok([(tree(), TREE), (home_of("CARGO_HOME", ".cargo")?, "/cargo")])
}

/// # Errors
/// The bytes contain a path of this machine, which the error names.
pub(crate) fn none_in(name: &str, bytes: &[u8]) -> Result<()> {
    let paths = [
        tree(),
        cache::root()?,
        home_of("CARGO_HOME", ".cargo")?,
        home_of("RUSTUP_HOME", ".rustup")?,
    ];
    // A tree at the place that all trees seem to have says nothing about the machine.
    for path in paths.iter().filter(|path| *path != Path::new(TREE)) {
        let needle = path.as_os_str().as_encoded_bytes();
        ensure!(
            !bytes.windows(needle.len()).any(|window| window == needle),
            "{name} holds the path {}",
            path.display()
        );
    }
    Ok(())
}

/// The directory that a variable names, or otherwise `name` in the home directory.
///
/// # Errors
/// HOME is not set.
pub(crate) fn home_of(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = env::var_os(variable) {
        return Ok(PathBuf::from(path));
    }
    let home = env::var_os("HOME").context("HOME is not set")?;
    Ok(PathBuf::from(home).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_this_machine_is_found() {
        let mut bytes = vec![7; 4096];
        none_in("it", &bytes).unwrap();
        bytes.extend(cache::root().unwrap().into_os_string().into_encoded_bytes());
        assert!(none_in("it", &bytes).is_err());
    }
}
