//! Whether two builds give the same bytes, and whether a build contains a path of this machine.
//!
//! The second build has another directory, user, home, clock (400 days on), time zone, locale,
//! umask and number of jobs. Both share the toolchain, and the kept kernel unless the kernel is
//! built from nothing as well.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::progress::say;
use mayfly_host::{TREE, packages, process, tree};

use super::manifest::{ARTIFACTS, Reproducible};
use super::paths::{self, home_of};
use super::{Options, cache};

/// Limit for a build. From nothing on two cores it takes an hour.
const LIMIT: Duration = Duration::from_secs(3 * 3600);
const TOOL: Duration = Duration::from_secs(600);

/// rustc without libfaketime, which would deadlock with its allocator. rustc does not read the
/// clock.
const RUSTC: &str = "#!/bin/sh\nunset LD_PRELOAD\nexec rustc \"$@\"\n";

/// Builds for `options` a second time under other conditions, and compares the result with what
/// is in their directory. With `kernel`, the kernel is built from nothing.
///
/// # Errors
/// The second build fails. A difference is not an error here.
pub fn against_another(options: &Options, kernel: bool) -> Result<Reproducible> {
    packages::provide(packages::VERIFY)?;
    let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
    let other = Elsewhere {
        tree: scratch.path().join("some/where/else"),
        home: scratch.path().join("home"),
    };
    other.copy_tree()?;
    other.build(options, kernel)?;
    let theirs = other.tree.join("target/image");
    let mut differs = Vec::new();
    for name in compared() {
        let (ours, theirs) = (options.out.join(name), theirs.join(name));
        if fs::read(&ours)? != fs::read(&theirs)? {
            show_difference(&ours, &theirs);
            differs.push(name.to_owned());
        }
    }
    Ok(Reproducible {
        checked: true,
        equal: differs.is_empty(),
        differs,
    })
}

fn compared() -> impl Iterator<Item = &'static str> {
    ARTIFACTS.into_iter().chain(["manifest.json", "SHA256SUMS"])
}

/// Another place to build in.
struct Elsewhere {
    tree: PathBuf,
    home: PathBuf,
}

impl Elsewhere {
    /// Copies every file that git tracks or would add, in its present state.
    fn copy_tree(&self) -> Result<()> {
        let listed = Command::new("git")
            .current_dir(tree())
            .args(["ls-files", "-z", "--cached", "--others"])
            .arg("--exclude-standard")
            .output()
            .context("cannot run git")?;
        ensure!(listed.status.success(), "git does not list the tree");
        for name in listed.stdout.split(|byte| *byte == 0) {
            let name = Path::new(<OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name));
            let from = tree().join(name);
            // git still lists a file that was removed. The last name of the list is empty.
            if !from.is_file() {
                continue;
            }
            let to = self.tree.join(name);
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Ok(())
    }

    fn build(&self, options: &Options, kernel: bool) -> Result<()> {
        let cargo_home = self.home.join("crates");
        fs::create_dir_all(&cargo_home)?;
        let registry = home_of("CARGO_HOME", ".cargo")?.join("registry");
        symlink(registry, cargo_home.join("registry"))?;
        let rustc = self.home.join("rustc");
        fs::write(&rustc, RUSTC)?;
        fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
        let mut command = process::command([
            "unshare",
            "--user",
            "--map-user=4321",
            "--map-group=4321",
            "faketime",
            "-f",
            "+400d",
            "sh",
            "-c",
            "umask 077; exec \"$@\"",
            "sh",
        ]);
        command
            .arg(env::current_exe().context("this program has no name")?)
            .args(options.words())
            .args(kernel.then_some("--from-nothing"))
            .current_dir("/")
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("USER", "somebody")
            .env("LOGNAME", "somebody")
            .env("TZ", "Pacific/Auckland")
            .env("LC_ALL", "C.UTF-8")
            .env("LANG", "tr_TR.UTF-8")
            .env("CARGO_BUILD_JOBS", (process::jobs() + 1).to_string())
            .env("CARGO_HOME", cargo_home)
            .env("RUSTC", rustc)
            .env("RUSTUP_HOME", home_of("RUSTUP_HOME", ".rustup")?)
            .env("MAYFLY_CACHE", cache::root()?)
            .env("GIT_DIR", git_directory()?)
            .env("NO_FAKE_STAT", "1")
            .env(TREE, &self.tree);
        for toolchain in ["CARGO", "RUSTUP_TOOLCHAIN"] {
            if let Some(value) = env::var_os(toolchain) {
                command.env(toolchain, value);
            }
        }
        process::output(&mut command, "the second build", LIMIT).map(drop)
    }
}

/// Prints diffoscope's report. The caller reports that there is a difference.
fn show_difference(ours: &Path, theirs: &Path) {
    let output = packages::provide(packages::DIFFERENCE).and_then(|()| {
        let mut diffoscope = process::command(["timeout", "300", "diffoscope"]);
        diffoscope
            .args(["--max-text-report-size", "20000", "--text", "-"])
            .arg(ours)
            .arg(theirs);
        diffoscope.output().context("cannot run diffoscope")
    });
    match output {
        Ok(output) => say(&String::from_utf8_lossy(&output.stdout)),
        Err(error) => say(&format!("{error:#}")),
    }
}

/// Refuses artifacts that contain a path of this machine.
///
/// # Errors
/// One does; the error names it and the path.
pub fn check_paths(out: &Path) -> Result<()> {
    for name in compared() {
        let bytes = fs::read(out.join(name)).with_context(|| format!("{name} is missing"))?;
        paths::none_in(name, &bytes)?;
    }
    Ok(())
}

fn git_directory() -> Result<String> {
    let mut git = process::command(["git", "rev-parse", "--absolute-git-dir"]);
    let said = process::output(git.current_dir(tree()), "git", TOOL)?;
    Ok(said.trim().to_owned())
}
