//! The removal of everything that a run made, and the check that nothing is left.
//!
//! Everything that a run makes carries its name, `mayfly-run-PID`: its namespaces begin with it,
//! its processes have it in their environment, its files are in `target/run/mayfly-run-PID`. So
//! the removal needs no list of what was made, and works for a run that was killed.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::process;
use crate::tree;

/// The environment variable that holds the name of the run.
pub const VARIABLE: &str = "MAYFLY_RUN";

const PREFIX: &str = "mayfly-run-";
/// Where iproute2 keeps namespaces by name (ip-netns(8)).
const NAMESPACES: &str = "/run/netns";
/// Where wireguard-go listens for `wg`.
const WIREGUARD_SOCKETS: &str = "/var/run/wireguard";

/// The name of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pid: u32,
}

impl Tag {
    /// The name for a run of this process.
    pub fn own() -> Self {
        Self {
            pid: std::process::id(),
        }
    }

    /// The run that a name belongs to, if the name begins with `mayfly-run-PID`.
    fn of(name: &str) -> Option<Self> {
        let rest = name.strip_prefix(PREFIX)?;
        let pid = rest.split('-').next()?.parse().ok()?;
        Some(Self { pid })
    }

    /// The name itself.
    pub fn name(&self) -> String {
        format!("{PREFIX}{}", self.pid)
    }

    /// A namespace of the run.
    pub fn namespace(&self, role: &str) -> String {
        format!("{}-{role}", self.name())
    }

    /// The name of a WireGuard interface. With a few characters appended it names one of many: the
    /// kernel takes at most 15.
    pub fn interface(&self) -> String {
        format!("mf{}", self.pid)
    }

    /// Where the run keeps its files.
    pub fn directory(&self) -> PathBuf {
        runs().join(self.name())
    }

    /// Sockets on which clients listen for `wg`, and interfaces outside every namespace, where none
    /// should be.
    fn traces(&self) -> Vec<PathBuf> {
        let interface = self.interface();
        let own = |name: &str| {
            name.strip_prefix(&interface)
                .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
        };
        [WIREGUARD_SOCKETS, "/sys/class/net"]
            .into_iter()
            .flat_map(|directory| {
                let names = names(directory.into()).filter(|name| own(name));
                names.map(move |name| PathBuf::from(directory).join(name))
            })
            .collect()
    }

    /// Takes the name: an abstract Unix socket of that name (unix(7)), which the kernel closes when
    /// the process ends, for whatever reason. A later process with the same id is not mistaken for
    /// this one.
    fn hold(&self) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(self.name())?)
    }

    /// Whether the run still goes on.
    fn is_alive(&self) -> bool {
        self.hold()
            .is_err_and(|error| error.kind() == ErrorKind::AddrInUse)
    }
}

/// `target/run`: the report, and a directory for each run that goes on.
pub fn runs() -> PathBuf {
    tree().join("target/run")
}

/// Removes everything of a run when it is dropped. Until then no other run takes it for dead.
pub struct Guard<'a> {
    tag: &'a Tag,
    _name: UnixListener,
}

impl<'a> Guard<'a> {
    /// Takes the run's name, and makes its directory, which only its owner can read: it will hold
    /// passwords and secrets.
    ///
    /// # Errors
    /// The name is taken, or the directory cannot be made.
    pub fn new(tag: &'a Tag) -> Result<Self> {
        let name = tag.hold().context("another run has this one's name")?;
        DirBuilder::new()
            .mode(0o700)
            .create(tag.directory())
            .context("cannot make a directory below target/run")?;
        Ok(Self { tag, _name: name })
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        take_away(self.tag);
    }
}

/// Removes everything of a run. [`left_behind`] finds what could not be removed.
pub fn take_away(tag: &Tag) {
    for pid in processes(tag) {
        process::kill_and_wait(pid, Duration::from_secs(5));
    }
    for namespace in namespaces(tag) {
        let _ = Command::new("ip")
            .args(["netns", "delete", &namespace])
            .stderr(Stdio::null())
            .status();
    }
    for trace in tag.traces() {
        let _ = fs::remove_file(trace);
    }
    let _ = fs::remove_dir_all(tag.directory());
}

/// Finds everything that carries the run's name.
pub fn left_behind(tag: &Tag) -> Vec<String> {
    let processes = processes(tag).into_iter().map(|pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        format!("process {pid} {}", name.trim())
    });
    let namespaces = namespaces(tag)
        .into_iter()
        .map(|name| format!("namespace {name}"));
    let files = tag
        .traces()
        .into_iter()
        .chain([tag.directory()])
        .filter(|path| path.exists())
        .map(|path| path.display().to_string());
    processes.chain(namespaces).chain(files).collect()
}

/// Removes what killed runs left. Returns their names.
///
/// # Errors
/// `target/run` cannot be made.
pub fn sweep() -> Result<Vec<String>> {
    fs::create_dir_all(runs()).context("cannot make target/run")?;
    let mut dead: Vec<Tag> = names(NAMESPACES.into())
        .chain(names(runs()))
        .filter_map(|name| Tag::of(&name))
        .filter(|tag| !tag.is_alive())
        .collect();
    dead.sort_unstable_by_key(|tag| tag.pid);
    dead.dedup();
    dead.iter().for_each(take_away);
    Ok(dead.iter().map(Tag::name).collect())
}

fn namespaces(tag: &Tag) -> Vec<String> {
    names(NAMESPACES.into())
        .filter(|name| Tag::of(name).as_ref() == Some(tag))
        .collect()
}

fn processes(tag: &Tag) -> Vec<u32> {
    let wanted = format!("{VARIABLE}={}", tag.name()).into_bytes();
    let carries = |pid: &u32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted)
    };
    process::all()
        .filter(|pid| !process::is_zombie(*pid))
        .filter(carries)
        .collect()
}

fn names(directory: PathBuf) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_known_by_every_name_it_gives() {
        let tag = Tag { pid: 4_194_304 };
        assert_eq!(Tag::of(&tag.name()), Some(tag.clone()));
        assert_eq!(Tag::of(&tag.namespace("hub")), Some(tag.clone()));
        assert!(tag.interface().len() <= 15);
        assert_eq!(Tag::of("report.json"), None);
    }

    #[test]
    fn a_run_is_alive_for_as_long_as_its_name_is_held() {
        // No process has this id: PID_MAX_LIMIT is 4,194,304.
        let tag = Tag { pid: 4_194_306 };
        assert!(!tag.is_alive());
        let name = tag.hold().unwrap();
        assert!(tag.is_alive());
        drop(name);
        assert!(!tag.is_alive());
    }

    #[test]
    fn a_process_of_a_run_is_found_and_taken_away() {
        // No process has this id: PID_MAX_LIMIT is 4,194,304.
        let tag = Tag { pid: 4_194_305 };
        let mut command = process::command(["sleep", "60"]);
        let job = process::Job::start(command.env(VARIABLE, tag.name()), "sleep").unwrap();
        while left_behind(&tag).is_empty() {
            std::thread::yield_now();
        }
        take_away(&tag);
        assert_eq!(left_behind(&tag), Vec::<String>::new());
        drop(job);
    }
}
