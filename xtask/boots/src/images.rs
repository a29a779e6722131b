//! What the boots start: one image as an operator has it, and the changes of an attacker.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::progress::{say, step};
use mayfly_host::{teardown, tree};
use mayfly_image::keys;
use mayfly_image::{Options, Profile};
use mayfly_lab::operator::BundleKey;
use sha2::{Digest as _, Sha256};

use super::tampering::Tampering;
use super::way::{Firmware, Outcome, Way};

/// An iPXE for a BIOS whose NIC has none.
const UNDIONLY: &str = "/usr/lib/ipxe/undionly.kpxe";

/// Where everything is.
pub(crate) struct Images {
    /// The key set.
    pub keys: PathBuf,
    plain: PathBuf,
    tampered: PathBuf,
}

impl Images {
    /// The paths, before anything is built.
    pub(crate) fn at() -> Self {
        let root = teardown::runs().join("boots");
        Self {
            keys: root.join("keys"),
            plain: root.join("image"),
            tampered: root.join("tampered"),
        }
    }

    /// Builds and signs them, with keys of this tree. The first build makes the keys.
    ///
    /// # Errors
    /// Something does not build.
    pub(crate) fn build(&self, bundle: &BundleKey) -> Result<()> {
        if !self.keys.is_dir() {
            step("make keys", || keys::make(&self.keys))?;
        }
        let options = Options {
            profile: Profile::Sealed,
            bundle_key: mayfly_image::parse_bundle_key(&bundle.public)?,
            least_serial: 1,
            from_nothing: false,
            kernel_words: String::new(),
            command_line: String::new(),
            out: self.plain.clone(),
        };
        mayfly_image::release_signed(&options, &self.keys)?;
        if Path::new(UNDIONLY).is_file() {
            fs::copy(UNDIONLY, self.plain.join("undionly.kpxe"))?;
        }
        Tampering {
            genuine: &self.plain,
            options: &options,
            to: &self.tampered,
        }
        .make()
    }

    /// The files for a machine that boots by `way`.
    pub(crate) fn directory(&self, way: Way) -> PathBuf {
        match (way.firmware(), way.outcome()) {
            (_, Outcome::Refused) => self.tampered.join(way.name()),
            (Firmware::SecureBoot, _) => self.plain.join("signed"),
            (Firmware::Bios | Firmware::Uefi, _) => self.plain.clone(),
        }
    }

    /// An archive whose `/init` would end every boot that runs it.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn hostile_initrd(&self, to: &Path) -> Result<String> {
        let mut archive = Vec::new();
        for name in ["init", "evil"] {
            let evil = b"#!/no/such/interpreter\n";
            let mut file = cpio::NewcBuilder::new(name)
                .mode(0o100_755)
                .write(&mut archive, u32::try_from(evil.len())?);
            std::io::Write::write_all(&mut file, evil)?;
            file.finish()?;
        }
        cpio::newc::trailer(&mut archive)?;
        fs::write(to, archive).context("cannot write an initrd")?;
        Ok(to.display().to_string())
    }

    /// The manifest's value of a PCR.
    ///
    /// # Errors
    /// The manifest does not have it.
    pub(crate) fn pcr(&self, number: u8) -> Result<String> {
        let text = fs::read_to_string(self.plain.join("manifest.json"))?;
        let manifest: serde_json::Value = serde_json::from_str(&text)?;
        manifest["pcrs"][number.to_string()]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("the manifest does not know PCR {number}"))
    }

    /// Removes the signature from the signed image: what is left must be the image that anyone can
    /// build.
    ///
    /// # Errors
    /// It is not, or sbattach fails.
    pub(crate) fn check_what_is_signed(&self) -> Result<()> {
        let scratch = tempfile::tempdir()?;
        let bare = scratch.path().join("mayfly.efi");
        fs::copy(self.plain.join("signed/mayfly.efi"), &bare)?;
        let mut sbattach = mayfly_host::process::command(["sbattach", "--remove"]);
        mayfly_host::process::output(sbattach.arg(&bare), "sbattach", super::LIMIT)?;
        let hash = |path: &Path| Ok::<_, anyhow::Error>(Sha256::digest(fs::read(path)?));
        ensure!(
            hash(&bare)? == hash(&self.plain.join("mayfly.efi"))?,
            "the signed image without its signature is not the image"
        );
        say(&format!(
            "the image: {}",
            self.plain.strip_prefix(tree())?.display()
        ));
        Ok(())
    }
}
