//! The servers that are compared.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::accounts::Mayfly;
use super::client::{Access, Clients, MTU, key_pair, set_config, start_userspace};
use super::lab::{Lab, SERVER};
use super::plan::Setup;
use crate::image;
use crate::process::{self, Job};
use crate::progress::step;
use crate::teardown::Tag;

const LIMIT: Duration = Duration::from_secs(30);
const BUILD: Duration = Duration::from_secs(3600);
const PORT: u16 = 51820;

/// From crates.io: package, its program, and the version that the figures are about.
const CRATES: [(&str, &str, &str); 2] = [
    ("boringtun-cli", "boringtun-cli", "0.7.1"),
    ("gotatun-cli", "gotatun", "0.10.2"),
];

/// A server that can be started.
pub struct Kind {
    name: String,
    /// As it is in the report.
    pub version: String,
    program: PathBuf,
    is_mayfly: bool,
}

impl Kind {
    /// As it is in the report.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Mayfly as it is shipped, its peers, and those that were named.
///
/// # Errors
/// One does not build.
pub fn all(named: &[PathBuf], tag: &Tag) -> Result<Vec<Kind>> {
    let node = tag.directory().join("mayfly-node");
    let programs = image::binaries::build(image::Profile::Sealed)?;
    fs::write(&node, programs.node).context("cannot write mayfly-node")?;
    fs::set_permissions(&node, fs::Permissions::from_mode(0o755))?;
    step(
        "build mayfly and mayfly-accounts",
        crate::run::operator::build,
    )?;
    let mut kinds = vec![
        Kind {
            name: "mayfly".to_owned(),
            version: crate::commit()?,
            program: node,
            is_mayfly: true,
        },
        Kind {
            name: "wireguard-go".to_owned(),
            version: debian_version("wireguard-go")?,
            program: "wireguard-go".into(),
            is_mayfly: false,
        },
    ];
    for (package, program, version) in CRATES {
        kinds.push(Kind {
            name: package.to_owned(),
            version: version.to_owned(),
            program: installed(package, program, version)?,
            is_mayfly: false,
        });
    }
    for program in named {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        kinds.push(Kind {
            name: name.into_owned(),
            version: "as named".to_owned(),
            program: program.clone(),
            is_mayfly: false,
        });
    }
    Ok(kinds)
}

fn debian_version(package: &str) -> Result<String> {
    let mut command = process::command(["dpkg-query", "-W", "-f", "${Version}", package]);
    process::output(&mut command, "dpkg-query", LIMIT)
}

/// A program of crates.io, built once into a cache outside of the tree.
fn installed(package: &str, program: &str, version: &str) -> Result<PathBuf> {
    let root = image::cache::root()?
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

/// One that runs.
pub struct Server {
    /// What each client needs.
    pub access: Vec<Access>,
    job: Job,
    /// What it needs to run.
    _beside: Option<Mayfly>,
}

impl Server {
    /// Starts one that takes all of the clients.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(lab: &Lab, kind: &Kind, setup: Setup, clients: &Clients) -> Result<Self> {
        if kind.is_mayfly {
            return Self::mayfly(lab, kind, setup, clients);
        }
        Self::userspace(lab, &kind.program, setup, clients)
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> f64 {
        super::cpu::of_process(self.job.id())
    }

    fn mayfly(lab: &Lab, kind: &Kind, setup: Setup, clients: &Clients) -> Result<Self> {
        let mut command = lab.server.command(before(setup).iter().copied());
        let mut beside = Mayfly::prepare(lab)?;
        let job = beside.start(lab, command.arg(&kind.program))?;
        let access = clients
            .iter()
            .enumerate()
            .map(|(number, client)| beside.enrol(lab, number, client, setup))
            .collect::<Result<_>>()?;
        Ok(Self {
            access,
            job,
            _beside: Some(beside),
        })
    }

    fn userspace(lab: &Lab, program: &Path, setup: Setup, clients: &Clients) -> Result<Self> {
        let interface = format!("{}s", lab.tag.interface());
        let job = start_userspace(lab, &lab.server, program, &interface, before(setup))?;
        let (private_key, public_key) = key_pair(lab)?;
        let mut config = format!("[Interface]\nPrivateKey = {private_key}\nListenPort = {PORT}\n");
        let own = |number: usize| {
            let (high, low) = ((number + 2) / 256, (number + 2) % 256);
            [
                format!("10.64.{high}.{low}"),
                format!("fd00:64::{:x}", number + 2),
            ]
        };
        for (number, client) in clients.iter().enumerate() {
            let [ipv4, ipv6] = own(number);
            config.push_str(&format!(
                "[Peer]\nPublicKey = {}\nAllowedIPs = {ipv4}/32, {ipv6}/128\n",
                client.public_key
            ));
        }
        set_config(lab, &lab.server, &interface, &config)?;
        for address in ["10.64.0.1/16", "fd00:64::1/64"] {
            lab.server
                .ip(&format!("address add {address} dev {interface}"))?;
        }
        lab.server
            .ip(&format!("link set {interface} mtu {MTU} up"))?;
        lab.masquerade()?;
        let endpoint = if setup.v6 {
            format!("[{}]:{PORT}", SERVER.1)
        } else {
            format!("{}:{PORT}", SERVER.0)
        };
        let access = |(number, _)| Access {
            private_key: None,
            public_key: public_key.clone(),
            preshared_key: None,
            endpoint: endpoint.clone(),
            addresses: own(number).to_vec(),
        };
        Ok(Self {
            access: clients.iter().enumerate().map(access).collect(),
            job,
            _beside: None,
        })
    }
}

/// What stands before the server's program on its command line.
fn before(setup: Setup) -> &'static [&'static str] {
    if setup.pinned {
        &["taskset", "--cpu-list", "0"]
    } else {
        &[]
    }
}
