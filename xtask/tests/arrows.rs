//! What the packages of `xtask/` may use: each other only downwards, and no crate of the product.
//! They run the programs that people run, so that what they show is what people get.
#![allow(
    clippy::unwrap_used,
    reason = "a set-up that fails is a test that fails"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Each package, and those of `xtask/` that it may use, from the ground up. A verb uses no other
/// verb. cargo itself refuses circles.
const ARROWS: [(&str, &[&str]); 8] = [
    ("host", &[]),
    ("image", &["host"]),
    ("lab", &["host", "image"]),
    ("run", &["host", "image", "lab"]),
    ("boots", &["host", "image", "lab"]),
    ("bench", &["host", "image", "lab"]),
    ("audit", &["host", "image", "lab"]),
    // The last two for the test that compares what each starts with what it provides.
    (
        "",
        &["host", "image", "lab", "run", "boots", "bench", "audit"],
    ),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    /// Of a crate of this tree.
    path: Option<PathBuf>,
}

/// The folder of each package of `xtask/`, from there, and those of its dependencies in this tree,
/// from the top.
fn packages() -> BTreeMap<String, Vec<PathBuf>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--locked", "--format-version", "1"])
        .output()
        .unwrap();
    let metadata: Metadata = serde_json::from_slice(&output.stdout).unwrap();
    let top = &metadata.workspace_root;
    let below = |path: &Path| path.strip_prefix(top).unwrap().to_owned();
    let of_it = |package: &Package| {
        let folder = below(package.manifest_path.parent().unwrap());
        let name = folder.strip_prefix("xtask").ok()?.display().to_string();
        let dependencies = package.dependencies.iter();
        let paths = dependencies.filter_map(|dependency| dependency.path.as_deref());
        Some((name, paths.map(below).collect()))
    };
    metadata.packages.iter().filter_map(of_it).collect()
}

#[test]
fn the_packages_of_xtask_use_each_other_downwards_and_no_crate_of_the_product() {
    let packages = packages();
    let known: Vec<_> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut found: Vec<_> = packages.keys().map(String::as_str).collect();
    found.sort_by_key(|name| known.iter().position(|known| known == name));
    assert_eq!(found, known, "a package has no row");
    for (name, allowed) in ARROWS {
        for path in &packages[name] {
            let is_allowed = allowed
                .iter()
                .any(|room| *path == Path::new("xtask").join(room));
            assert!(is_allowed, "xtask/{name} must not use {}", path.display());
        }
    }
}
