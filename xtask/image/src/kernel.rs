//! The kernel with initramfs and command line inside: a node is this one file.
//!
//! The tree in which `make` worked is kept. For another initramfs or command line only the last
//! steps are repeated. That takes half a minute and gives the same bytes as a build from nothing
//! (`cargo xtask image --verify --kernel` compares the two).

mod make;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use self::make::ENVIRONMENT;
use super::Profile;
use super::cache::{Cache, Held};
use super::config::{self, Demand};
use super::lock::{Lock, Source, hex};
use super::paths;
use super::pe;

/// Where the archive has to be, from the top of the tree (`CONFIG_INITRAMFS_SOURCE`).
const INITRAMFS: &str = "mayfly.cpio.zst";

/// How long a kernel took on a machine with two processors.
const BUILD: &str = "10 min on 2 processors";

/// What differs between two images of one kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inside<'a> {
    /// cpio archive, packed with zstd.
    pub initramfs: &'a [u8],
    /// The whole command line.
    pub command_line: &'a str,
}

/// Writes to `file` the kernel of `profile` around `inside`, unless it is there already.
///
/// # Errors
/// As [`super::build`].
pub(crate) fn link_once(profile: Profile, inside: Inside<'_>, file: &Path) -> Result<()> {
    let recipe = Recipe::read(profile)?;
    let stamp = file.with_extension("inputs");
    let inputs = recipe.inputs(inside)?;
    let there = fs::read(file).map(|bytes| format!("{inputs}\n{}\n", hex(&Sha256::digest(bytes))));
    if there.is_ok_and(|there| fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == there)) {
        return Ok(());
    }
    let kernel = link(profile, inside)?;
    fs::write(file, &kernel).with_context(|| format!("cannot write {}", file.display()))?;
    let output = hex(&Sha256::digest(&kernel));
    fs::write(stamp, format!("{inputs}\n{output}\n")).context("cannot write beside the image")
}

/// Builds the kernel of `profile` that is kept, unless it is there.
///
/// # Errors
/// As [`super::build`].
pub(crate) fn prepare(profile: Profile) -> Result<()> {
    Recipe::read(profile)?.built().map(drop)
}

/// Links the kernel of `profile` around `inside`, from the kept tree, which is built first if
/// it is not there. Returns the bzImage.
///
/// # Errors
/// As [`super::build`].
pub(crate) fn link(profile: Profile, inside: Inside<'_>) -> Result<Vec<u8>> {
    let recipe = Recipe::read(profile)?;
    let held = recipe.built()?;
    recipe.make(inside, held.tree(), "link", "30 s")
}

/// The same from nothing, in a directory that must be empty. Kept trees are not touched.
///
/// # Errors
/// As [`link`].
pub(crate) fn from_nothing(profile: Profile, inside: Inside<'_>, tree: &Path) -> Result<Vec<u8>> {
    let recipe = Recipe::read(profile)?;
    recipe.unpack(tree)?;
    recipe.make(inside, tree, "build from nothing", BUILD)
}

/// Everything from which a kernel is built.
pub(crate) struct Recipe {
    profile: Profile,
    /// The locked source.
    pub source: Source,
    /// The demands on its configuration.
    pub demands: Vec<Demand>,
    /// Changes to the source, in order.
    pub patches: Vec<PathBuf>,
}

impl Recipe {
    /// Reads it from the work tree.
    ///
    /// # Errors
    /// A file is missing or makes no sense.
    pub(crate) fn read(profile: Profile) -> Result<Self> {
        Ok(Self {
            profile,
            source: Lock::read()?.kernel,
            demands: config::demands(profile)?,
            patches: make::patches()?,
        })
    }

    fn built(&self) -> Result<Held> {
        let key = self.key()?;
        let cache = Cache::open()?;
        if let Some(held) = cache.hold(&key)? {
            return Ok(held);
        }
        let turn = cache.take_turn()?;
        // Unless another process has built it while we waited.
        if cache.hold(&key)?.is_none() {
            let tree = turn.begin(&key)?;
            self.unpack(&tree)?;
            self.make(Inside::nothing(), &tree, "build", BUILD)?;
            turn.finish(&key)?;
        }
        cache.hold(&key)?.context("the kernel has left the cache")
    }

    fn unpack(&self, into: &Path) -> Result<()> {
        self.source.verify()?;
        make::unpack(&self.source, into)?;
        make::patch(&self.patches, into)
    }

    fn make(
        &self,
        inside: Inside<'_>,
        tree: &Path,
        what: &str,
        elsewhere: &'static str,
    ) -> Result<Vec<u8>> {
        fs::write(tree.join(INITRAMFS), inside.initramfs).context("cannot place the initramfs")?;
        make::configure(&self.demands_with(inside.command_line), tree)?;
        let what = format!("kernel: {what} ({})", self.profile.name());
        make::compile(&what, elsewhere, tree)?;
        let unpacked = fs::read(tree.join("arch/x86/boot/compressed/vmlinux.bin"))
            .context("make left no kernel")?;
        paths::none_in("the kernel", &unpacked)?;
        let image = fs::read(tree.join("arch/x86/boot/bzImage"));
        let mut image = image.context("make left no bzImage")?;
        pe::set_checksum(&mut image)?;
        Ok(image)
    }

    /// The fragments' demands, with this command line.
    fn demands_with(&self, command_line: &str) -> Vec<Demand> {
        let quoted = format!("\"{command_line}\"");
        let mut demands = self.demands.clone();
        for demand in &mut demands {
            match demand {
                Demand::Set { option, value } if option == "CONFIG_CMDLINE" => {
                    value.clone_from(&quoted);
                }
                _ => {}
            }
        }
        demands
    }

    /// A digest of everything that determines the kernel.
    fn inputs(&self, inside: Inside<'_>) -> Result<String> {
        let initramfs = hex(&Sha256::digest(inside.initramfs));
        let command_line = hex(&Sha256::digest(inside.command_line));
        Ok(format!("{}\n{initramfs}\n{command_line}", self.key()?))
    }

    /// A digest of everything that determines the kernel, without what is put inside. Comments
    /// beside the demands are not a part of it.
    fn key(&self) -> Result<String> {
        let mut hasher = Sha256::new();
        let mut add = |part: &[u8]| {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        };
        add(self.source.sha256.as_bytes());
        add(config::to_text(&self.demands).as_bytes());
        for patch in &self.patches {
            add(&fs::read(patch).with_context(|| format!("cannot read {}", patch.display()))?);
        }
        add(format!("{ENVIRONMENT:?}").as_bytes());
        for tool in ["gcc", "ld"] {
            add(make::version(tool)?.as_bytes());
        }
        let mut key = hex(&hasher.finalize());
        key.truncate(32);
        Ok(key)
    }
}

impl Inside<'_> {
    /// What the kept tree is first built around.
    fn nothing() -> Self {
        Self {
            initramfs: &[],
            command_line: "panic=-1",
        }
    }
}
