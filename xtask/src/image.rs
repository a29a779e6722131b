//! The image: a kernel and an initramfs, from the sources that the lock file names.
//!
//! Nothing here needs root, and nothing is downloaded: the kernel's source is a package of
//! the distribution that is already installed. A finished kernel is cached outside the
//! tree; the two programs and the archive are made anew, in a few seconds if nothing
//! changed. Every long step shows how far it is.

pub mod binaries;
pub mod cache;
mod config;
mod initramfs;
mod kernel;
pub mod lock;
pub mod silence;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;

use crate::tree;

/// Which kernel an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// What ships: no kernel log, no terminal.
    Sealed,
    /// With a kernel log on the serial port, for testers.
    Dev,
    /// What ships, but with an attacker in the node's place, for the write matrix.
    Attack,
    /// What ships, but PID 1 has the daemon killed after a while, for the audit.
    Mortal,
}

impl Profile {
    /// As in file names and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Dev => "dev",
            Self::Attack => "attack",
            Self::Mortal => "mortal",
        }
    }

    /// The fragment of kernel options that is this profile's own.
    fn kernel(self) -> &'static str {
        match self {
            Self::Sealed | Self::Attack | Self::Mortal => "sealed",
            Self::Dev => "dev",
        }
    }

    /// The package and the program that are `/init`.
    fn init(self) -> (&'static str, &'static str) {
        match self {
            Self::Sealed | Self::Dev | Self::Attack => ("mayfly-init", "init"),
            Self::Mortal => ("mayfly-mortal", "mortal"),
        }
    }

    /// The package and the program that are `/bin/mayfly-node`.
    fn node(self) -> (&'static str, &'static str) {
        match self {
            Self::Sealed | Self::Dev | Self::Mortal => ("mayfly-node", "mayfly-node"),
            Self::Attack => ("mayfly-attack", "attack"),
        }
    }
}

/// What an image is built for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kernel.
    pub profile: Profile,
    /// Ed25519 public key of the operator who signs settings bundles.
    pub bundle_key: [u8; 32],
}

/// A finished image.
#[derive(Debug)]
pub struct Image {
    /// bzImage.
    pub kernel: PathBuf,
    /// cpio archive, packed with zstd.
    pub initramfs: PathBuf,
    /// Size of the kernel.
    pub kernel_bytes: u64,
    /// Size of the initramfs.
    pub initramfs_bytes: u64,
    /// Every path in the initramfs that can be executed.
    pub executables: Vec<String>,
}

/// Builds what `options` asks for into `target/image/PROFILE`.
///
/// # Errors
/// A source that is not the locked one, a tool that fails, a kernel configuration that
/// does not come out as its fragments demand, a program that is not static.
pub fn build(options: &Options) -> Result<Image> {
    let pins = initramfs::Pins {
        bundle_key: STANDARD.encode(options.bundle_key),
        built: commit_time()?,
    };
    let kernel = kernel::build(options.profile)?;
    let programs = binaries::build(options.profile)?;
    let packed = initramfs::pack(&programs, &pins)?;

    let out = tree().join("target/image").join(options.profile.name());
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    let image = Image {
        kernel: out.join("bzImage"),
        initramfs: out.join("initramfs.cpio.zst"),
        kernel_bytes: fs::copy(&kernel, out.join("bzImage")).context("cannot copy the kernel")?,
        initramfs_bytes: packed.archive.len() as u64,
        executables: packed.executables,
    };
    fs::write(&image.initramfs, &packed.archive).context("cannot write the initramfs")?;
    Ok(image)
}

/// Reads a bundle key as it stands on a command line: base64 of 32 bytes, or a file that
/// holds just that.
///
/// # Errors
/// Neither of the two.
pub fn parse_bundle_key(word: &str) -> Result<[u8; 32]> {
    let text = if Path::new(word).is_file() {
        fs::read_to_string(word).with_context(|| format!("cannot read {word}"))?
    } else {
        word.to_owned()
    };
    STANDARD
        .decode(text.trim())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .with_context(|| format!("{word}: expected a file with, or itself, base64 of 32 bytes"))
}

/// The only time that an image knows: when its commit was made, in Unix seconds.
fn commit_time() -> Result<u64> {
    if let Ok(given) = std::env::var("SOURCE_DATE_EPOCH") {
        return given
            .parse()
            .context("SOURCE_DATE_EPOCH is not a number of seconds");
    }
    let git = Command::new("git")
        .current_dir(tree())
        .args(["log", "-1", "--format=%ct"])
        .output()
        .context("cannot run git")?;
    ensure!(
        git.status.success(),
        "the image's time is that of its commit, or SOURCE_DATE_EPOCH; git says: {}",
        String::from_utf8_lossy(&git.stderr).trim()
    );
    String::from_utf8_lossy(&git.stdout)
        .trim()
        .parse()
        .context("git did not print a time")
}
