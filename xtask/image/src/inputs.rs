//! What an image is made of: sources, patches, settings, tools and crates, each by its hash.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::{cargo, process, tree};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::kernel::Recipe;
use super::lock::{hash, hex};
use super::{Profile, config, iso};

const LIMIT: Duration = Duration::from_secs(120);
const KERNEL_LICENCE: &str = "GPL-2.0-only WITH Linux-syscall-note";
const OWN_LICENCE: &str = "MIT OR Apache-2.0";

/// One input.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Input {
    /// The name that its makers give it.
    pub name: String,
    /// Their version of it.
    pub version: String,
    /// Of the file; of a crate, what its registry and Cargo.lock say.
    pub sha256: String,
    /// SPDX expression.
    pub licence: String,
    /// Its role.
    #[serde(skip)]
    pub role: Role,
}

/// The role of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// A part of the image, or one that is linked into it.
    Part,
    /// A tool or setting that determines the result.
    Tool,
    /// A Rust crate: linked into it, or run to build it.
    Crate,
}

/// All that goes into an image of `profile`, sorted.
///
/// # Errors
/// Something is missing.
pub(crate) fn all(profile: Profile) -> Result<Vec<Input>> {
    let recipe = Recipe::read(profile)?;
    let mut inputs = kernel(&recipe)?;
    inputs.extend(tools()?);
    inputs.extend(loader()?);
    inputs.extend(crates(profile)?);
    inputs.sort();
    Ok(inputs)
}

fn kernel(recipe: &Recipe) -> Result<Vec<Input>> {
    let source = &recipe.source;
    let demands = config::to_text(&recipe.demands);
    let mut inputs = vec![
        Input {
            name: source.package.clone(),
            version: source.version.clone(),
            sha256: source.sha256.clone(),
            licence: KERNEL_LICENCE.to_owned(),
            role: Role::Part,
        },
        Input {
            name: "kernel configuration".to_owned(),
            version: recipe.source.version.clone(),
            sha256: hex(&Sha256::digest(demands)),
            licence: OWN_LICENCE.to_owned(),
            role: Role::Tool,
        },
    ];
    for patch in &recipe.patches {
        inputs.push(Input {
            name: file_name(patch),
            version: source.version.clone(),
            sha256: hash(patch)?,
            licence: KERNEL_LICENCE.to_owned(),
            role: Role::Part,
        });
    }
    Ok(inputs)
}

fn tools() -> Result<Vec<Input>> {
    // cargo's choice.
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let sysroot = PathBuf::from(say(&rustc, &["--print", "sysroot"])?);
    let tool = |name: &str, file: &Path, version: String, licence: &str, role| {
        Ok::<_, anyhow::Error>(Input {
            name: name.to_owned(),
            version,
            sha256: hash(file)?,
            licence: licence.to_owned(),
            role,
        })
    };
    let first_line = |program: &str| say(program, &["--version"]).map(|text| first(&text));
    let libc = PathBuf::from(say("gcc", &["-print-file-name=libc.a"])?);
    Ok(vec![
        tool(
            "rustc",
            &sysroot.join("bin/rustc"),
            first_line(&rustc)?,
            OWN_LICENCE,
            Role::Tool,
        )?,
        tool(
            "gcc",
            &found("gcc")?,
            first_line("gcc")?,
            "GPL-3.0-or-later WITH GCC-exception-3.1",
            Role::Tool,
        )?,
        tool(
            "ld",
            &found("ld")?,
            first_line("ld")?,
            "GPL-3.0-or-later",
            Role::Tool,
        )?,
        tool(
            "glibc, linked static",
            &libc,
            package_version("libc6-dev")?,
            "LGPL-2.1-or-later",
            Role::Part,
        )?,
    ])
}

/// The loader, which is on the ISO only.
fn loader() -> Result<Vec<Input>> {
    let version = package_version("isolinux")?;
    iso::LOADER
        .iter()
        .map(|file| {
            Ok(Input {
                name: file_name(Path::new(file)),
                version: version.clone(),
                sha256: hash(Path::new(file))?,
                licence: "GPL-2.0-or-later".to_owned(),
                role: Role::Part,
            })
        })
        .collect()
}

#[derive(Deserialize)]
struct CargoLock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Crates of others in the two programs, and those that their build runs.
fn crates(profile: Profile) -> Result<Vec<Input>> {
    let text = fs::read_to_string(tree().join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let lock: CargoLock = toml::from_str(&text).context("Cargo.lock")?;
    let checksums: BTreeMap<_, _> = lock
        .package
        .into_iter()
        .filter_map(|package| Some(((package.name, package.version), package.checksum?)))
        .collect();
    let ((init, _), (node, _)) = (profile.init(), profile.node());
    let mut command = cargo::command();
    command
        .args(["tree", "--locked", "--package", init, "--package", node])
        .args(["--target", "x86_64-unknown-linux-gnu"])
        .args(["--edges", "normal,build", "--prefix", "none", "--no-dedupe"])
        .args(["--format", "{p}|{l}"]);
    let printed = process::output(&mut command, "cargo tree", LIMIT)?;
    let crates: BTreeSet<_> = printed
        .lines()
        .filter_map(|line| parse_crate(line, &checksums))
        .collect();
    Ok(crates.into_iter().collect())
}

/// Parses `name v1.2.3 (proc-macro)|MIT`. Our own crates have no checksum and are left out.
fn parse_crate(line: &str, checksums: &BTreeMap<(String, String), String>) -> Option<Input> {
    let (package, licence) = line.split_once('|')?;
    let mut words = package.split(' ');
    let name = words.next()?.to_owned();
    let version = words.next()?.trim_start_matches('v').to_owned();
    let sha256 = checksums.get(&(name.clone(), version.clone()))?.clone();
    Some(Input {
        name,
        version,
        sha256,
        licence: licence.replace('/', " OR "),
        role: Role::Crate,
    })
}

fn package_version(package: &str) -> Result<String> {
    say(
        "dpkg-query",
        &["--show", "--showformat=${Version}", package],
    )
}

fn say(program: &str, words: &[&str]) -> Result<String> {
    let mut command = process::command([program]);
    let said = process::output(command.args(words), program, LIMIT)?;
    Ok(said.trim().to_owned())
}

fn first(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The program itself, with all links resolved.
fn found(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
        .and_then(|file| file.canonicalize().ok())
        .with_context(|| format!("{program} is not in PATH"))
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_known_by_its_checksum_and_ours_are_left_out() {
        let key = ("ring".to_owned(), "0.17.14".to_owned());
        let checksums = BTreeMap::from([(key, "a4".repeat(32))]);
        let ring = parse_crate("ring v0.17.14|Apache-2.0 AND ISC", &checksums).unwrap();
        assert_eq!(
            (ring.version.as_str(), ring.licence.as_str()),
            ("0.17.14", "Apache-2.0 AND ISC")
        );
        let own = "mayfly-wire v0.1.0 (/somewhere/crates/wire)|MIT OR Apache-2.0";
        assert_eq!(parse_crate(own, &checksums), None);
    }
}
