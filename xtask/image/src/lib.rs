//! The image: one file that is kernel, initramfs and command line, from the sources that the
//! lock file names.
//!
//! Beside it stand what operators are given (an ISO, boot scripts, a manifest, signatures) and
//! keys for testing. This library does not know what the programs of the image do, and boots no
//! image.
//!
//! Nothing here needs root once the packages are installed, and nothing is downloaded: the
//! kernel's source is a package of the distribution. A built kernel is kept outside the work tree.
//! The two programs and the archive are built each time, which takes a few seconds if nothing
//! changed, and the kernel is linked around them in half a minute. Every long step shows its
//! progress.

pub mod binaries;
pub mod cache;
mod config;
mod initramfs;
mod inputs;
mod iso;
mod kernel;
pub mod keys;
pub mod lock;
mod manifest;
mod paths;
mod pcr;
mod pe;
mod release;
mod sign;
pub mod silence;
pub mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use mayfly_host::progress::{say, step};
use mayfly_host::{packages, process, tree};

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

    /// The fragment of kernel options that only this profile has.
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

/// A key under which no signature holds: no point of the curve has 2 for its y (RFC 8032 section
/// 5.1.3).
const NO_KEY: [u8; 32] = {
    let mut key = [0; 32];
    key[0] = 2;
    key
};

/// `cargo xtask image`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which kernel
    #[arg(long, value_enum, default_value = "sealed")]
    profile: Profile,
    /// Public key of the operator who signs settings: base64, or a file with it. Without one,
    /// the image takes no settings, and is good for comparing only
    #[arg(long, value_name = "KEY")]
    bundle_key: Option<String>,
    /// The least serial of a bundle that its nodes take
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    least_serial: u64,
    /// Words for init, as in image/README.md: `mayfly.bundle=http://...`
    #[arg(long, value_name = "WORDS", default_value = "")]
    command_line: String,
    /// Sign with the keys in this directory, named as `cargo xtask keys` does, into signed/
    #[arg(long, value_name = "DIRECTORY")]
    keys: Option<PathBuf>,
    /// Build a second time under other conditions, and compare; the kept kernel is linked again
    #[arg(long)]
    verify: bool,
    /// With --verify: also build the kernel from nothing, which takes much longer
    #[arg(long, requires = "verify")]
    kernel: bool,
    /// Build the kernel from nothing, in the tree's own target directory
    #[arg(long, hide = true)]
    from_nothing: bool,
}

impl Args {
    fn options(&self) -> Result<Options> {
        let images = tree().join("target/image");
        Ok(Options {
            profile: self.profile,
            bundle_key: match &self.bundle_key {
                Some(key) => parse_bundle_key(key)?,
                None => NO_KEY,
            },
            least_serial: self.least_serial,
            kernel_words: String::new(),
            command_line: self.command_line.clone(),
            from_nothing: self.from_nothing,
            out: match self.profile {
                Profile::Sealed => images,
                Profile::Dev | Profile::Attack | Profile::Mortal => {
                    images.join(self.profile.name())
                }
            },
        })
    }
}

/// Installs the kernel's source, as the lock file names it, unless it is there.
///
/// # Errors
/// There is no lock file, or the package cannot be installed.
pub fn provide_kernel_source() -> Result<()> {
    lock::Lock::read()?.kernel.provide()
}

/// Builds the image with all that goes beside it, and says what it is.
///
/// # Errors
/// As [`build`].
pub fn image(args: &Args) -> Result<()> {
    packages::provide(&[packages::IMAGE, packages::RELEASE].concat())?;
    provide_kernel_source()?;
    let options = args.options()?;
    let image = match &args.keys {
        Some(keys) => {
            packages::provide(packages::SIGN)?;
            release_signed(&options, keys)?
        }
        None => release::write(&options)?,
    };
    if args.verify {
        let found = verify(&options, &image, args.kernel)?;
        ensure!(
            found.equal,
            "not reproducible: {}",
            found.differs.join(", ")
        );
    }
    if options.bundle_key == NO_KEY {
        say("no --bundle-key: this image pins no key, so its nodes accept no settings");
    }
    for path in image.executables {
        say(&format!("executable: {path}"));
    }
    Ok(())
}

/// Builds a second time under other conditions, compares, and writes the result into the
/// manifest.
///
/// # Errors
/// The second build fails, or the first contains a path of this machine.
pub fn verify(options: &Options, image: &Image, kernel: bool) -> Result<manifest::Reproducible> {
    verify::check_paths(&options.out)?;
    ensure!(
        options.profile == Profile::Sealed,
        "only what ships is compared"
    );
    let found = step("build a second time, under other conditions", || {
        verify::against_another(options, kernel)
    })?;
    let mut manifest = release::manifest(image, options)?;
    manifest.reproducible = found.clone();
    manifest.write(&options.out)?;
    Ok(found)
}

/// The image with all that goes beside it, and the same signed with the keys in `keys`.
///
/// # Errors
/// As [`build`], or a tool fails.
pub fn release_signed(options: &Options, keys: &Path) -> Result<Image> {
    let image = release::write(options)?;
    step("sign", || sign::sign(&image, &options.out, keys))?;
    Ok(image)
}

/// What an image is built for.
#[derive(Debug, Clone)]
pub struct Options {
    /// The kernel.
    pub profile: Profile,
    /// Ed25519 public key of the operator who signs settings bundles.
    pub bundle_key: [u8; 32],
    /// The least serial of a bundle that its nodes take.
    pub least_serial: u64,
    /// More words for the kernel, for tests only. A later word overrides an earlier one.
    pub kernel_words: String,
    /// Words for init (`mayfly.bundle=...`), after the kernel's own.
    pub command_line: String,
    /// Whether to build the kernel from nothing, even if one is kept.
    pub from_nothing: bool,
    /// The directory to write to.
    pub out: PathBuf,
}

impl Options {
    /// The arguments of `cargo xtask` that ask for the same, in the tree where it is started.
    fn words(&self) -> Vec<String> {
        [
            "image",
            "--profile",
            self.profile.name(),
            "--bundle-key",
            &STANDARD.encode(self.bundle_key),
            "--least-serial",
            &self.least_serial.to_string(),
            "--command-line",
            &self.command_line,
        ]
        .map(str::to_owned)
        .to_vec()
    }
}

/// A finished image.
#[derive(Debug)]
pub struct Image {
    /// Kernel, initramfs and command line: a bzImage for a BIOS's loader, a program for UEFI.
    pub file: PathBuf,
    /// Size of the file.
    pub file_bytes: u64,
    /// Size of the initramfs in it, packed.
    pub initramfs_bytes: u64,
    /// Every path in the initramfs that can be executed.
    pub executables: Vec<String>,
    /// Its kernel.
    pub profile: Profile,
    /// When its commit was made, in Unix seconds.
    time: u64,
    command_line: String,
    files: Vec<manifest::File>,
}

/// Builds `mayfly.efi` for `options`, unless the existing one was built from the same inputs.
///
/// # Errors
/// A source that is not the locked one, a tool that fails, a kernel configuration that
/// does not come out as its fragments demand, a program that is not static.
pub fn build(options: &Options) -> Result<Image> {
    let time = commit_time()?;
    let pins = initramfs::Pins {
        bundle_key: STANDARD.encode(options.bundle_key),
        built: time,
        least_serial: options.least_serial,
    };
    let programs = if options.from_nothing {
        binaries::build(options.profile)?
    } else {
        while_kernel_builds(options.profile, || binaries::build(options.profile))?
    };
    let packed = initramfs::pack(&programs, &pins)?;
    let command_line = command_line(options)?;
    let inside = kernel::Inside {
        initramfs: &packed.archive,
        command_line: &command_line,
    };
    let file = options.out.join("mayfly.efi");
    fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot create {}", options.out.display()))?;
    if options.from_nothing {
        let scratch = tempfile::tempdir_in(&options.out)?;
        fs::write(
            &file,
            kernel::from_nothing(options.profile, inside, scratch.path())?,
        )?;
    } else {
        kernel::link_once(options.profile, inside, &file)?;
    }
    Ok(Image {
        file_bytes: fs::metadata(&file)?.len(),
        file,
        initramfs_bytes: packed.archive.len() as u64,
        executables: packed.executables,
        profile: options.profile,
        time,
        command_line,
        files: packed.files,
    })
}

/// Builds the kernel of `profile` that is kept, unless it is there, while `work` goes on: most of
/// that is cargo's, which has nothing to do for a processor now and then.
///
/// # Errors
/// What the work returns, or the kernel does not build.
pub fn while_kernel_builds<T>(profile: Profile, work: impl FnOnce() -> Result<T>) -> Result<T> {
    // If the work fails, this does not wait: the compilers end with this process.
    let kernel = thread::spawn(move || process::interruptible(|| kernel::prepare(profile)));
    let done = work()?;
    kernel.join().map_err(|_| anyhow!("a panic"))??;
    Ok(done)
}

/// A panic restarts the machine. Free memory is overwritten at boot, because of what the machine
/// did before. RAM is encrypted if the processor can do that.
const KERNEL_WORDS: &str = "panic=-1 memtest=1 mem_encrypt=on";

/// The longest command line that an x86 kernel reads, without its final zero.
const COMMAND_LINE: usize = 2047;

fn command_line(options: &Options) -> Result<String> {
    let mut line = KERNEL_WORDS.to_owned();
    if options.profile == Profile::Dev {
        line.push_str(" console=ttyS0");
    }
    for word in options.kernel_words.split_ascii_whitespace() {
        line = format!("{line} {word}");
    }
    for word in options.command_line.split_ascii_whitespace() {
        ensure!(
            word.starts_with("mayfly.") && word.bytes().all(|byte| byte.is_ascii_graphic()),
            "{word}: words for init begin with `mayfly.`"
        );
        ensure!(
            !word.contains(['"', '\\']),
            "{word}: no quotes and no backslashes"
        );
        line = format!("{line} {word}");
    }
    ensure!(line.len() <= COMMAND_LINE, "the command line is too long");
    Ok(line)
}

/// Reads a bundle key from a word of the command line: base64 of 32 bytes, or a file with that.
///
/// # Errors
/// It is neither.
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

/// The only time in an image: when its commit was made, in Unix seconds.
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

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_that_holds_under_a_weak_key_does_not_under_no_key() {
        // The neutral point, and as a signature for any message: that point again, and 0.
        let neutral = {
            let mut point = [0; 32];
            point[0] = 1;
            point
        };
        let forged = [neutral, [0; 32]].concat();
        let holds = |key: [u8; 32]| UnparsedPublicKey::new(&ED25519, key).verify(b"any", &forged);
        assert!(holds(neutral).is_ok());
        assert!(holds(NO_KEY).is_err());
    }
}
