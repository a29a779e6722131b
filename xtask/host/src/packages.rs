//! Programs and files that a command needs. They are looked for first, and installed if possible.

use std::env;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::progress::step;

/// A program, or a file if it begins with a slash, and the Debian package that has it.
pub type Need = (&'static str, &'static str);

/// To build the image; the kernel's source is in the lock file.
pub const IMAGE: &[Need] = &[
    ("gcc", "gcc"),
    ("make", "make"),
    ("bc", "bc"),
    ("bison", "bison"),
    ("flex", "flex"),
    ("git", "git"),
    ("patch", "patch"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
    // The kernel packs itself with it.
    ("zstd", "zstd"),
    ("setpriv", "util-linux"),
    ("flock", "util-linux"),
    ("/usr/include/libelf.h", "libelf-dev"),
    ("/usr/include/openssl/ssl.h", "libssl-dev"),
];

/// To build the ISO that operators get beside it.
pub const RELEASE: &[Need] = &[
    ("xorriso", "xorriso"),
    ("mformat", "mtools"),
    ("/usr/lib/ISOLINUX/isolinux.bin", "isolinux"),
    (
        "/usr/lib/syslinux/modules/bios/ldlinux.c32",
        "syslinux-common",
    ),
];

/// To build a second time under other conditions.
pub const VERIFY: &[Need] = &[("faketime", "faketime"), ("unshare", "util-linux")];

/// To show what differs.
pub const DIFFERENCE: &[Need] = &[("diffoscope", "diffoscope-minimal")];

/// To make keys and to sign with them.
pub const SIGN: &[Need] = &[
    ("openssl", "openssl"),
    ("sbsign", "sbsigntool"),
    ("minisign", "minisign"),
    ("cert-to-efi-sig-list", "efitools"),
    ("sign-efi-sig-list", "efitools"),
];

/// To make namespaces, send a stock client through them, and look.
pub const NETWORK: &[Need] = &[
    ("ip", "iproute2"),
    ("setpriv", "util-linux"),
    ("kill", "procps"),
    ("sysctl", "procps"),
    ("nft", "nftables"),
    ("wg", "wireguard-tools"),
    ("wg-quick", "wireguard-tools"),
    ("wireguard-go", "wireguard-go"),
    ("tcpdump", "tcpdump"),
    ("strace", "strace"),
    ("ping", "iputils-ping"),
    ("iperf3", "iperf3"),
    ("curl", "curl"),
    ("jq", "jq"),
];

/// What the tests between namespaces start beside that.
pub const NETNS: &[Need] = &[("dnsmasq", "dnsmasq-base"), ("ss", "iproute2")];

/// What the tests that need no rights start beside the database.
pub const UNIT: &[Need] = &[("kill", "procps"), ("setpriv", "util-linux")];

/// To compare servers.
pub const BENCH: &[Need] = &[
    ("git", "git"),
    ("ethtool", "ethtool"),
    ("ss", "iproute2"),
    ("taskset", "util-linux"),
];

/// To keep accounts in PostgreSQL. Debian puts its programs outside PATH.
pub const DATABASE: &[Need] = &[("/usr/lib/postgresql", "postgresql")];

/// To install programs from PyPI into a virtual environment.
pub const PYTHON: &[Need] = &[
    ("python3", "python3"),
    ("/usr/share/doc/python3-venv", "python3-venv"),
    ("setpriv", "util-linux"),
];

/// To talk to the API by hand.
pub const API: &[Need] = &[("curl", "curl"), ("jq", "jq")];

/// To build libFuzzer.
pub const FUZZ: &[Need] = &[("g++", "g++")];

/// To make a bare Debian and to run commands in it.
pub const FRESH: &[Need] = &[
    ("git", "git"),
    ("mmdebstrap", "mmdebstrap"),
    ("unshare", "util-linux"),
];

/// To give a guest a disk, and to look into the account service.
pub const AUDIT: &[Need] = &[
    ("mkfs.ext4", "e2fsprogs"),
    ("sqlite3", "sqlite3"),
    (
        "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
        "libfaketime",
    ),
];

/// To boot it as servers do.
pub const BOOTS: &[Need] = &[
    ("dnsmasq", "dnsmasq-base"),
    ("python3", "python3"),
    ("sbattach", "sbsigntool"),
    ("swtpm", "swtpm"),
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "ovmf"),
    ("/usr/lib/ipxe/undionly.kpxe", "ipxe"),
];

/// To boot the image.
pub const QEMU: &[Need] = &[("qemu-system-x86_64", "qemu-system-x86")];

/// # Errors
/// This is not root, or /dev/net/tun does not open.
pub fn require_root() -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "this makes network namespaces: run it as root"
    );
    OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .context("this needs /dev/net/tun, which does not open")?;
    Ok(())
}

/// Installs what is missing of `needs`.
///
/// # Errors
/// Something is missing and cannot be installed. The error names the packages, and the command
/// to type if this is not root.
pub fn provide(needs: &[Need]) -> Result<()> {
    let packages = missing(needs);
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    ensure!(
        nix::unistd::geteuid().is_root(),
        "missing: {list}; type: sudo apt-get install --no-install-recommends {list}"
    );
    ensure!(
        find("apt-get").is_some(),
        "missing: {list}; and no apt-get to install it with"
    );
    step(&format!("install {list}"), || install(&packages))?;
    let still = missing(needs);
    ensure!(
        still.is_empty(),
        "missing although installed: {}; is it in PATH?",
        still.join(" ")
    );
    Ok(())
}

/// Whether packages can be installed here: as root, with apt-get.
pub fn can_install() -> bool {
    nix::unistd::geteuid().is_root() && find("apt-get").is_some()
}

fn missing(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs
        .iter()
        .filter(|(what, _)| find(what).is_none())
        .map(|(_, package)| *package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn find(what: &str) -> Option<PathBuf> {
    if what.starts_with('/') {
        return Some(PathBuf::from(what)).filter(|path| path.exists());
    }
    env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(what))
        .find(|path| path.is_file())
}

/// Two steps of `cargo xtask test` may want packages at the same time. apt-get waits for another
/// apt-get that installs, but fails beside one that fetches package lists.
const TURN: &str = "/run/mayfly-packages.lock";

/// Installs packages. If that fails, the package lists may be missing or old: it fetches them and
/// tries again.
///
/// # Errors
/// apt-get fails; the error has its last line.
pub fn install(packages: &[&str]) -> Result<()> {
    let turn = File::create(TURN).with_context(|| format!("cannot make {TURN}"))?;
    turn.lock().context("cannot wait for another install")?;
    let install = |packages: &[&str]| {
        let words = ["install", "--yes", "--no-install-recommends"];
        apt_get(&[words.as_slice(), packages].concat())
    };
    install(packages).or_else(|_| {
        apt_get(&["update"])?;
        install(packages)
    })
}

fn apt_get(words: &[&str]) -> Result<()> {
    let output = Command::new("apt-get")
        .args(["--quiet=2", "--option", "DPkg::Lock::Timeout=300"])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .current_dir(Path::new("/"))
        .output()
        .context("cannot run apt-get")?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let last = complaint.lines().last().unwrap_or("no reason given");
    bail!("apt-get {} failed: {last}", words.first().unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_named_once_by_its_package() {
        let needs = &[
            ("sh", "dash"),
            ("/", "base-files"),
            ("no-such-program", "nothing"),
            ("/no/such/file", "nothing"),
        ];
        assert_eq!(missing(needs), ["nothing"]);
    }
}
