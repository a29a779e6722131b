//! wireguard-go of Debian 13, beside that of the Debian on this machine.
//!
//! It is Debian's first version that sends and receives trains of datagrams, as customers' programs
//! do. Nothing is installed: the package is fetched, checked against Debian's keys by apt, and
//! unpacked into the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::process;
use mayfly_host::progress::step;
use mayfly_image::cache;

const LIMIT: Duration = Duration::from_secs(300);
const PACKAGE: &str = "wireguard-go";
const SOURCE: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] \
                      http://deb.debian.org/debian trixie main\n";

/// The program, and the package's version.
///
/// # Errors
/// It cannot be fetched; the error says what to use instead.
pub(crate) fn wireguard_go() -> Result<(PathBuf, String)> {
    let root = cache::root()?.join("servers/wireguard-go-trixie");
    let version = root.join("version");
    if !version.exists() {
        step("fetch wireguard-go of Debian 13", || fetch(&root, &version))
            .context("cannot fetch wireguard-go of Debian 13; --client PROGRAM does without")?;
    }
    let version = fs::read_to_string(version)?.trim().to_owned();
    Ok((root.join("usr/bin").join(PACKAGE), version))
}

/// `version` is written last: it says that the rest is there.
fn fetch(root: &Path, version: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let apt = Apt(scratch.path());
    apt.prepare()?;
    apt.get(&["update"])?;
    apt.get(&["download", PACKAGE])?;
    let package = fs::read_dir(scratch.path())?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get has downloaded nothing")?;
    // dpkg-deb makes the last directory of a path, and none above it.
    fs::create_dir_all(root).context("cannot make a directory in the cache")?;
    let mut unpack = process::command(["dpkg-deb", "--extract"]);
    process::output(unpack.arg(&package).arg(root), "dpkg-deb", LIMIT)?;
    let mut show = process::command(["dpkg-deb", "--field"]);
    let said = process::output(show.arg(&package).arg("Version"), "dpkg-deb", LIMIT)?;
    fs::write(version, said).context("cannot write into the cache")
}

/// apt with lists and a cache of its own, so that the machine's stay as they are.
struct Apt<'a>(&'a Path);

impl Apt<'_> {
    fn prepare(&self) -> Result<()> {
        for directory in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.0.join(directory))?;
        }
        fs::write(self.0.join("sources"), SOURCE).context("cannot write apt's sources")
    }

    fn get(&self, words: &[&str]) -> Result<()> {
        let root = self.0.display();
        let mut command = process::command(["apt-get", "--quiet=2"]);
        for option in [
            format!("Dir::Etc::SourceList={root}/sources"),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State::Lists={root}/lists"),
            format!("Dir::Cache={root}/cache"),
            // The directory is its owner's alone.
            "APT::Sandbox::User=root".to_owned(),
        ] {
            command.args(["--option", &option]);
        }
        command.args(words).current_dir(self.0);
        process::output(&mut command, "apt-get", LIMIT).map(drop)
    }
}
