//! Everything that an operator gets: the image, the ISO, iPXE's script, the manifest and the bill
//! of materials.

use std::fs;

use anyhow::{Context as _, Result};
use mayfly_host::progress::{say, step};
use mayfly_host::tree;

use super::manifest::{self, ARTIFACTS, Manifest};
use super::{Image, Options, inputs, iso};

/// Builds all of it into the directory of `options`.
///
/// # Errors
/// As [`super::build`], or a tool fails.
pub(crate) fn write(options: &Options) -> Result<Image> {
    let image = super::build(options)?;
    let out = &options.out;
    step("the ISO", || {
        iso::write(&image.file, &out.join("mayfly.iso"), image.time)
    })?;
    fs::copy(tree().join("image/boot.ipxe"), out.join("boot.ipxe"))
        .context("cannot copy image/boot.ipxe")?;
    let inputs = step("list the inputs", || inputs::all(image.profile))?;
    manifest::bill(&inputs, &mayfly_host::commit()?, out)?;
    manifest(&image, options)?.write(out)?;
    for name in ARTIFACTS.into_iter().chain(["manifest.json", "SHA256SUMS"]) {
        let file = out.join(name);
        let bytes = fs::metadata(&file)?.len();
        say(&format!("{}\t{bytes} bytes", file.display()));
    }
    Ok(image)
}

/// The manifest of a built image.
///
/// # Errors
/// A part of it is missing.
pub(crate) fn manifest(image: &Image, options: &Options) -> Result<Manifest> {
    Manifest::of(image, inputs::all(image.profile)?, &options.out)
}
