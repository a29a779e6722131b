//! A bare Debian 12 with Rust, in a folder, and how a command is started in it.
//!
//! ```text
//!   target/fresh/base     what mmdebstrap made
//!   target/fresh/machine  a copy of it for each command, which has it as its root
//!   target/fresh/mayfly   a clone of HEAD, and what was built in it     /mayfly
//!   target/fresh/home     crates' downloads, and what was cached        /root
//!   the host's toolchain, which cannot be written to                    /opt/rust
//! ```
//!
//! All that is mounted is mounted in a namespace that ends with the command, as do all processes
//! that it started. Outside of the folder nothing changes.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::progress::step;
use mayfly_host::{process, tree};

/// What is below the folder.
pub(super) const PARTS: [&str; 4] = ["base", "machine", "mayfly", "home"];

const MINUTES: Duration = Duration::from_secs(1800);
/// Beside Debian's essential packages and apt. Rust takes gcc as its linker, and the libraries
/// that come with libc6-dev; cargo fetches crates over TLS.
const INCLUDED: &str = "gcc,libc6-dev,ca-certificates";
const RELEASE: &str = "bookworm";

/// How this machine reaches the network. Copied as far as the host has them.
const NETWORK: [&str; 3] = [
    "etc/resolv.conf",
    "etc/hosts",
    "etc/ssl/certs/ca-certificates.crt",
];
/// The same in variables.
const VARIABLES: [&str; 12] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "PIP_CERT",
    "PIP_INDEX_URL",
    "REQUESTS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "CARGO_HTTP_PROXY",
];
const PATH: &str = "/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A package's service must not start: there is no init here, and the network is the host's.
const NO_SERVICES: &str = "#!/bin/sh\nexit 101\n";

/// Starts a program in namespaces of its own, which end with it, as do all processes in them.
const ALONE: [&str; 7] = [
    "unshare",
    "--mount",
    "--propagation",
    "private",
    "--pid",
    "--fork",
    "--kill-child",
];

/// Mounts what a machine has, and becomes the command: root, toolchain, tree, home, words.
const START: &str = r#"
set -e
root=$1 rust=$2 tree=$3 home=$4
shift 4
# `ip netns exec` changes how / propagates, which the kernel allows only where / is a mount.
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/net" "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for node in null zero full random urandom tty kvm net/tun; do
    if [ -e "/dev/$node" ]; then
        : >"$root/dev/$node"
        mount --bind "/dev/$node" "$root/dev/$node"
    fi
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
mkdir -p "$root/opt/rust" "$root/mayfly"
mount --bind "$rust" "$root/opt/rust"
mount -o remount,bind,ro "$root/opt/rust"
mount --bind "$tree" "$root/mayfly"
mount --bind "$home" "$root/root"
exec chroot "$root" "$@"
"#;

/// The machine.
pub(super) struct Machine {
    folder: PathBuf,
    toolchain: PathBuf,
}

impl Machine {
    /// Makes a bare Debian, a clone of HEAD, and a home with crates' downloads.
    ///
    /// # Errors
    /// Debian's mirror is out of reach, or a disk is full.
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let machine = Self {
            folder: folder.to_owned(),
            toolchain: toolchain()?,
        };
        step("set up a bare Debian 12", || machine.debootstrap())?;
        step("clone HEAD", || machine.clone_head())?;
        step("copy crates' downloads", || machine.take_downloads())?;
        Ok(machine)
    }

    /// The version of the Debian.
    ///
    /// # Errors
    /// It does not say.
    pub(super) fn debian(&self) -> Result<String> {
        let version = fs::read_to_string(self.part("base").join("etc/debian_version"))?;
        Ok(version.trim().to_owned())
    }

    /// A line for the shell, as a command on a machine in which nothing was installed.
    ///
    /// # Errors
    /// The machine cannot be copied.
    pub(super) fn command(&self, words: &str) -> Result<Command> {
        let root = self.part("machine");
        if root.exists() {
            fs::remove_dir_all(&root).context("cannot remove a machine")?;
        }
        let mut copy = process::command(["cp", "--archive", "--reflink=auto"]);
        process::output(copy.arg(self.part("base")).arg(&root), "cp", MINUTES)?;
        let mut command = process::command(ALONE);
        command.args(["sh", "-c", START, "sh"]);
        command.args([&root, &self.toolchain]);
        command.args([self.part("mayfly"), self.part("home")]);
        command.args(["env", "-i", "HOME=/root", "USER=root", "LANG=C.UTF-8"]);
        command.arg(format!("PATH={PATH}"));
        for name in VARIABLES {
            if let Ok(value) = env::var(name) {
                command.arg(format!("{name}={value}"));
            }
        }
        command.args(["sh", "-c", &format!("cd /mayfly && {words}")]);
        Ok(command)
    }

    fn debootstrap(&self) -> Result<()> {
        let base = self.part("base");
        // It mounts things for packages' scripts, and leaves them mounted if it is killed.
        let mut command = process::command(ALONE);
        command.args(["mmdebstrap", "--quiet", "--variant=minbase"]);
        command.arg(format!("--include={INCLUDED}"));
        command.arg(RELEASE).arg(&base);
        process::output(&mut command, "mmdebstrap", MINUTES)?;
        for file in NETWORK {
            let host = Path::new("/").join(file);
            if host.is_file() {
                // The file, and not what a link there points to.
                let _ = fs::remove_file(base.join(file));
                fs::copy(&host, base.join(file)).with_context(|| format!("cannot copy /{file}"))?;
            }
        }
        take_apt_settings(&base)?;
        let policy = base.join("usr/sbin/policy-rc.d");
        fs::write(&policy, NO_SERVICES).context("cannot write policy-rc.d")?;
        let mut allow = process::command(["chmod", "755"]);
        process::output(allow.arg(policy), "chmod", MINUTES).map(drop)
    }

    fn clone_head(&self) -> Result<()> {
        let mut clone = process::command(["git", "clone", "--quiet", "--no-hardlinks"]);
        clone.arg(tree()).arg(self.part("mayfly"));
        process::output(&mut clone, "git clone", MINUTES).map(drop)
    }

    /// Archives and the index; cargo unpacks them itself.
    fn take_downloads(&self) -> Result<()> {
        let registry = self.part("home").join(".cargo/registry");
        fs::create_dir_all(&registry).context("cannot make a home")?;
        for part in ["cache", "index"] {
            let host = cargo_home()?.join("registry").join(part);
            if host.exists() {
                let mut copy = process::command(["cp", "--archive", "--reflink=auto"]);
                process::output(copy.arg(host).arg(&registry), "cp", MINUTES)?;
            }
        }
        Ok(())
    }

    fn part(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Copies the settings of the host's apt that say how packages are reached, such as a proxy.
fn take_apt_settings(base: &Path) -> Result<()> {
    let Ok(entries) = fs::read_dir("/etc/apt/apt.conf.d") else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let is_about_that = text.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with("//") || line.starts_with("Acquire::")
        });
        if let Some(name) = path.file_name()
            && is_about_that
        {
            fs::copy(&path, base.join("etc/apt/apt.conf.d").join(name))?;
        }
    }
    Ok(())
}

/// Where the toolchain of this tree is.
fn toolchain() -> Result<PathBuf> {
    let mut command = process::command(["rustc", "--print", "sysroot"]);
    let root = process::output(command.current_dir(tree()), "rustc", MINUTES)?;
    Ok(PathBuf::from(root.trim()))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(home.into());
    }
    let home = env::var_os("HOME").context("HOME is not set")?;
    Ok(PathBuf::from(home).join(".cargo"))
}
