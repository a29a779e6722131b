//! Signed images with a part changed and the signature kept, as an attacker would make them. The
//! boots show that a machine refuses them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::process;
use mayfly_image::Options;

use super::LIMIT;
use super::way::Way;

/// The inputs of an attacker.
pub(crate) struct Tampering<'a> {
    /// Directory of the image, and of `signed/`.
    pub genuine: &'a Path,
    /// What it was built from.
    pub options: &'a Options,
    /// Gets a directory for each.
    pub to: &'a Path,
}

impl Tampering<'_> {
    /// Makes one for each way that tests tampering.
    ///
    /// # Errors
    /// An image does not build, or a tool fails.
    pub(crate) fn make(&self) -> Result<()> {
        let signature = self.to.join("signature");
        fs::create_dir_all(self.to)?;
        self.take_signature(&signature)?;
        self.check_that_it_fits(&signature)?;
        self.turn_a_bit()?;
        let initramfs = Options {
            bundle_key: self.options.bundle_key.map(|byte| !byte),
            ..self.options.clone()
        };
        self.build(Way::TamperedInitramfs, initramfs, &signature)?;
        let command_line = Options {
            command_line: "mayfly.bundle=http://192.0.2.1:9/evil".to_owned(),
            ..self.options.clone()
        };
        self.build(Way::TamperedCommandLine, command_line, &signature)
    }

    fn take_signature(&self, signature: &Path) -> Result<()> {
        let mut sbattach = process::command(["sbattach", "--detach"]);
        sbattach.arg(signature).arg(self.signed());
        process::output(&mut sbattach, "sbattach", LIMIT).map(drop)
    }

    /// Checks that the same signature is valid on the image that it was made for. Otherwise a refusal
    /// would show nothing.
    fn check_that_it_fits(&self, signature: &Path) -> Result<()> {
        let again = self.to.join("again.efi");
        fs::copy(self.genuine.join("mayfly.efi"), &again)?;
        attach(signature, &again)?;
        ensure!(
            fs::read(&again)? == fs::read(self.signed())?,
            "the image under its own signature is not the signed image"
        );
        Ok(())
    }

    /// Changes a byte a quarter into the file: there is the packed part, which begins with the
    /// kernel's code.
    fn turn_a_bit(&self) -> Result<()> {
        let mut image = fs::read(self.signed())?;
        let place = image.len() / 4;
        *image.get_mut(place).context("an empty image")? ^= 1;
        fs::write(self.file(Way::TamperedKernel)?, image).context("cannot write an image")
    }

    /// Puts the signature on another image.
    fn build(&self, way: Way, options: Options, signature: &Path) -> Result<()> {
        let built = mayfly_image::build(&Options {
            out: self.to.join("built").join(way.name()),
            ..options
        })?;
        let file = self.file(way)?;
        fs::copy(built.file, &file)?;
        attach(signature, &file)
    }

    fn signed(&self) -> PathBuf {
        self.genuine.join("signed/mayfly.efi")
    }

    fn file(&self, way: Way) -> Result<PathBuf> {
        let directory = self.to.join(way.name());
        fs::create_dir_all(&directory)?;
        Ok(directory.join("mayfly.efi"))
    }
}

fn attach(signature: &Path, image: &Path) -> Result<()> {
    let mut sbattach = process::command(["sbattach", "--attach"]);
    sbattach.arg(signature).arg(image);
    process::output(&mut sbattach, "sbattach", LIMIT).map(drop)
}
