//! `image/lock.toml`: the source that the kernel is built from, by its hash.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use mayfly_host::progress::step;
use mayfly_host::{packages, tree};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

const HEADER: &str = "\
# The kernel's source: a package of Debian, and the SHA-256 of the tarball in it.
# Moved by `cargo xtask lock --update` to what is installed; see image/README.md.

";

/// The whole file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// The kernel's source.
    pub kernel: Source,
}

/// One source.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Debian package.
    pub package: String,
    /// Its version. It tells people what to install; the hash decides.
    pub version: String,
    /// Where the package puts the tarball.
    pub tarball: PathBuf,
    /// SHA-256 of the tarball, in hexadecimal.
    pub sha256: String,
}

impl Lock {
    /// Reads the file.
    ///
    /// # Errors
    /// It is not there, or not a lock file.
    pub fn read() -> Result<Self> {
        let text = fs::read_to_string(path()).context("cannot read image/lock.toml")?;
        toml::from_str(&text).context("image/lock.toml")
    }
}

impl Source {
    /// Installs the package, unless the tarball is there.
    ///
    /// # Errors
    /// It cannot be installed; the error says what to type.
    pub fn provide(&self) -> Result<()> {
        if self.tarball.is_file() {
            return Ok(());
        }
        let package = &self.package;
        ensure!(
            packages::can_install(),
            "missing: {package}; type: sudo apt-get install --no-install-recommends {package}"
        );
        step(&format!("install {package}"), || {
            packages::install(&[&format!("{package}={}", self.version)])
                .or_else(|_| packages::install(&[package]))
        })
    }

    /// Refuses an installed tarball that is not the locked one.
    ///
    /// # Errors
    /// Not installed, or another hash.
    pub fn verify(&self) -> Result<()> {
        ensure!(
            self.tarball.is_file(),
            "{} is missing: apt-get install {}={}",
            self.tarball.display(),
            self.package,
            self.version,
        );
        if hash(&self.tarball)? == self.sha256 {
            return Ok(());
        }
        let installed = installed_version(&self.package)?;
        bail!(
            "{} of {} {installed} is not the source that image/lock.toml names ({}).\n\
             Install that version, or move the lock: cargo xtask lock --update",
            self.tarball.display(),
            self.package,
            self.version,
        )
    }
}

/// Moves the lock to the source that is installed. Says whether it moved.
///
/// # Errors
/// The package is not installed, or the file cannot be written.
pub fn update() -> Result<bool> {
    let old = Lock::read()?;
    let kernel = Source {
        version: installed_version(&old.kernel.package)?,
        sha256: hash(&old.kernel.tarball)?,
        ..old.kernel
    };
    let new = Lock { kernel };
    let text = format!("{HEADER}{}", toml::to_string(&new)?);
    let moved = fs::read_to_string(path()).ok().as_deref() != Some(&text);
    fs::write(path(), text).context("cannot write image/lock.toml")?;
    Ok(moved)
}

fn path() -> PathBuf {
    tree().join("image/lock.toml")
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// It cannot be read.
pub(super) fn hash(file: &Path) -> Result<String> {
    let name = || format!("cannot read {}", file.display());
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(file).with_context(name)?, &mut hasher).with_context(name)?;
    Ok(hex(&hasher.finalize()))
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn installed_version(package: &str) -> Result<String> {
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat=${Version}", package])
        .output()
        .context("cannot run dpkg-query")?;
    ensure!(
        output.status.success(),
        "{package} is not installed: apt-get install {package}"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_in_the_tree_is_one() {
        let lock = Lock::read().unwrap();
        assert_eq!(lock.kernel.sha256.len(), 64);
        assert!(lock.kernel.tarball.is_absolute());
    }

    #[test]
    fn another_tarball_is_refused_with_the_way_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let source = Source {
            package: "dpkg".to_owned(),
            version: "0".to_owned(),
            tarball: file.path().to_owned(),
            sha256: hex(&Sha256::digest(b"the source as it was locked")),
        };
        let refusal = source.verify().unwrap_err().to_string();
        assert!(refusal.contains("cargo xtask lock --update"), "{refusal}");

        fs::write(file.path(), b"the source as it was locked").unwrap();
        source.verify().unwrap();
    }
}
