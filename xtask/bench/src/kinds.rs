//! The programs that are compared: the source and the version of each.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::process;
use mayfly_host::progress::step;
use mayfly_host::teardown::Tag;

use super::trixie;

const LIMIT: Duration = Duration::from_secs(30);
const BUILD: Duration = Duration::from_secs(3600);

const MAYFLY: &str = "mayfly";
const WIREGUARD_GO: &str = "wireguard-go";
/// Debian's first version that sends and receives trains of datagrams.
const NEWER_WIREGUARD_GO: &str = "wireguard-go-trixie";
/// wireguard-go takes no more peers (its device/constants.go, `MaxPeers`).
const WIREGUARD_GO_PEERS: usize = 1 << 16;
/// It has sockets of its own for each live peer (its device/peer.rs, `connect_endpoint`): more
/// than the descriptors that a process usually may have.
const CONNECTING: &str = "boringtun-cli";
/// From crates.io: package, its program, and the version that the figures are about.
const CRATES: [(&str, &str, &str); 2] = [
    ("boringtun-cli", "boringtun-cli", "0.7.1"),
    ("gotatun-cli", "gotatun", "0.10.2"),
];

/// A server that can be started.
pub(crate) struct Kind {
    name: String,
    /// For the report.
    pub version: String,
    /// What is started.
    pub program: PathBuf,
}

impl Kind {
    /// For the report.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it accepts that number of peers.
    pub(crate) fn takes(&self, peers: usize) -> bool {
        let is_go = [WIREGUARD_GO, NEWER_WIREGUARD_GO].contains(&self.name.as_str());
        !is_go || peers <= WIREGUARD_GO_PEERS
    }

    /// Whether it can have ten thousand live peers.
    pub(crate) fn has_room(&self) -> bool {
        self.name != CONNECTING
    }

    /// Whether it is ours, which gets its peers by enrolment.
    pub(crate) fn is_mayfly(&self) -> bool {
        self.name == MAYFLY
    }
}

/// Mayfly as it is shipped, the other servers, and those of `programs`; if `names` is not empty,
/// only those in it.
///
/// # Errors
/// One does not build, or a name is unknown.
pub(crate) fn choose(names: &[String], programs: &[PathBuf], tag: &Tag) -> Result<Vec<Kind>> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let mut kinds = Vec::new();
    if wanted(MAYFLY) {
        kinds.push(mayfly(tag)?);
    }
    if wanted(WIREGUARD_GO) {
        kinds.push(Kind {
            name: WIREGUARD_GO.to_owned(),
            version: debian_version(WIREGUARD_GO)?,
            program: WIREGUARD_GO.into(),
        });
    }
    if wanted(NEWER_WIREGUARD_GO) {
        let (program, version) = trixie::wireguard_go()?;
        kinds.push(Kind {
            name: NEWER_WIREGUARD_GO.to_owned(),
            version,
            program,
        });
    }
    for (package, program, version) in CRATES.into_iter().filter(|(name, ..)| wanted(name)) {
        kinds.push(Kind {
            name: package.to_owned(),
            version: version.to_owned(),
            program: installed(package, program, version)?,
        });
    }
    let named = programs.iter().map(|program| Kind {
        name: program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        version: "as named".to_owned(),
        program: program.clone(),
    });
    kinds.extend(named.filter(|kind| wanted(&kind.name)));
    for name in names {
        let found = kinds.iter().any(|kind| kind.name == *name);
        ensure!(
            found,
            "there is no server {name}; name its program with --server"
        );
    }
    Ok(kinds)
}

/// The program of the image, and the programs that it needs.
fn mayfly(tag: &Tag) -> Result<Kind> {
    let program = tag.directory().join("mayfly-node");
    fs::write(
        &program,
        mayfly_image::binaries::build(mayfly_image::Profile::Sealed)?.node,
    )
    .context("cannot write mayfly-node")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    mayfly_lab::operator::build()?;
    Ok(Kind {
        name: MAYFLY.to_owned(),
        version: mayfly_host::commit()?,
        program,
    })
}

fn debian_version(package: &str) -> Result<String> {
    let mut command = process::command(["dpkg-query", "-W", "-f", "${Version}", package]);
    process::output(&mut command, "dpkg-query", LIMIT)
}

/// A program of crates.io, built once into a cache outside the work tree.
fn installed(package: &str, program: &str, version: &str) -> Result<PathBuf> {
    let root = mayfly_image::cache::root()?
        .join("servers")
        .join(format!("{package}-{version}"));
    let path = root.join("bin").join(program);
    if path.exists() {
        return Ok(path);
    }
    let mut command = process::command(["cargo", "install", "--quiet", "--locked", package]);
    command.args(["--version", version, "--root"]).arg(&root);
    step(&format!("build {package} {version}"), || {
        process::output(&mut command, "cargo install", BUILD)
    })?;
    Ok(path)
}
