//! `manifest.json`, `sbom.cdx.json` and `SHA256SUMS`: what an image contains, and what it was
//! built from.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::json;

use super::inputs::{Input, Role};
use super::lock::{hash, hex};
use super::{Image, pcr};

/// The whole of `manifest.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest {
    schema: u32,
    commit: String,
    /// When the commit was made, in Unix seconds: the only time in an image.
    time: u64,
    profile: &'static str,
    command_line: String,
    /// Whether two builds were compared, and the result.
    pub reproducible: Reproducible,
    inputs: Vec<Input>,
    files: Vec<File>,
    artifacts: Vec<Artifact>,
    pcrs: BTreeMap<u8, String>,
}

/// What a comparison of two builds showed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reproducible {
    /// Two builds were compared.
    pub checked: bool,
    /// Each artifact came out the same.
    pub equal: bool,
    /// Artifacts that differ.
    pub differs: Vec<String>,
}

/// A path of the RAM root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct File {
    /// From the root.
    pub path: String,
    /// Type and permissions, in octal.
    pub mode: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Of its content; null if it has none.
    pub sha256: Option<String>,
    /// Length of its content.
    pub bytes: u64,
}

/// A file beside the manifest.
#[derive(Debug, Serialize)]
struct Artifact {
    name: String,
    bytes: u64,
    sha256: String,
}

/// What is to be listed, in this order.
pub(crate) const ARTIFACTS: [&str; 4] = ["mayfly.efi", "mayfly.iso", "boot.ipxe", "sbom.cdx.json"];

impl Manifest {
    /// The manifest of the image in `out`, where its artifacts are.
    ///
    /// # Errors
    /// An artifact is missing.
    pub(crate) fn of(image: &Image, inputs: Vec<Input>, out: &Path) -> Result<Self> {
        let artifact = |name: &str| {
            let file = out.join(name);
            Ok::<_, anyhow::Error>(Artifact {
                name: name.to_owned(),
                bytes: fs::metadata(&file)
                    .with_context(|| format!("{name} is missing"))?
                    .len(),
                sha256: hash(&file)?,
            })
        };
        let bytes = fs::read(&image.file).context("cannot read the image")?;
        Ok(Self {
            schema: 1,
            commit: mayfly_host::commit()?,
            time: image.time,
            profile: image.profile.name(),
            command_line: image.command_line.clone(),
            reproducible: Reproducible::default(),
            inputs,
            files: image.files.clone(),
            artifacts: ARTIFACTS.into_iter().map(artifact).collect::<Result<_>>()?,
            pcrs: pcr::values(&bytes)?,
        })
    }

    /// Writes `manifest.json`, and `SHA256SUMS` over everything.
    ///
    /// # Errors
    /// They cannot be written.
    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(out.join("manifest.json"), text).context("cannot write manifest.json")?;
        sums(out, &ARTIFACTS.map(str::to_owned))
    }
}

/// `SHA256SUMS` over `names` and the manifest, as sha256sum(1) reads it.
///
/// # Errors
/// One of them is missing.
pub(crate) fn sums(out: &Path, names: &[String]) -> Result<()> {
    let mut names: Vec<_> = names.iter().map(String::as_str).collect();
    names.push("manifest.json");
    names.sort_unstable();
    let lines: Vec<String> = names
        .into_iter()
        .map(|name| Ok(format!("{}  {name}\n", hash(&out.join(name))?)))
        .collect::<Result<_>>()?;
    fs::write(out.join("SHA256SUMS"), lines.concat()).context("cannot write SHA256SUMS")
}

/// Writes down everything that the image contains or was made by, as CycloneDX 1.6. cargo's own
/// tool knows only crates, and adds a random number and the time of day.
///
/// # Errors
/// It cannot be written.
pub(crate) fn bill(inputs: &[Input], commit: &str, out: &Path) -> Result<()> {
    let components: Vec<_> = inputs.iter().map(component).collect();
    let bill = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "operating-system",
                "bom-ref": "mayfly",
                "name": "mayfly",
                "version": commit,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            },
        },
        "components": components,
    });
    let text = serde_json::to_string_pretty(&bill)? + "\n";
    fs::write(out.join("sbom.cdx.json"), text).context("cannot write sbom.cdx.json")
}

fn component(input: &Input) -> serde_json::Value {
    let Input { name, version, .. } = input;
    let (kind, scope) = match input.role {
        Role::Part => ("file", "required"),
        Role::Tool => ("application", "excluded"),
        Role::Crate => ("library", "required"),
    };
    let mut component = json!({
        "type": kind,
        "bom-ref": format!("{name}@{version}"),
        "name": name,
        "version": version,
        "scope": scope,
        "hashes": [{ "alg": "SHA-256", "content": input.sha256 }],
        "licenses": [{ "expression": input.licence }],
    });
    if let (Role::Crate, Some(fields)) = (input.role, component.as_object_mut()) {
        let purl = format!("pkg:cargo/{name}@{version}");
        fields.insert("purl".to_owned(), purl.into());
    }
    component
}

/// The hash of what an archive holds.
pub(crate) fn digest(content: &[u8]) -> String {
    use sha2::{Digest as _, Sha256};
    hex(&Sha256::digest(content))
}
