//! A network namespace, which is removed with the run that made it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::sched::{CloneFlags, setns};

use crate::process;
use crate::teardown::{self, Tag};

/// No command that sets up a network takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// One network namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    name: String,
    tag: Tag,
}

impl Namespace {
    /// Makes one, with its loopback up.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn make(tag: &Tag, role: &str) -> Result<Self> {
        let name = tag.namespace(role);
        let mut command = process::command(["ip", "netns", "add", &name]);
        process::output(&mut command, "ip netns add", LIMIT)?;
        let namespace = Self {
            name,
            tag: tag.clone(),
        };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Removes it. Its links go with it, once its processes have ended.
    pub fn delete(&self) {
        let mut command = process::command(["ip", "netns", "delete", &self.name]);
        let _ = process::output(&mut command, "ip netns delete", LIMIT);
    }

    /// The name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that runs inside. It ends when this process ends.
    pub fn command<'a>(&'a self, words: impl IntoIterator<Item = &'a str>) -> Command {
        let inside = ["ip", "netns", "exec", self.name.as_str()];
        let mut command = process::command(inside.into_iter().chain(words));
        command.env(teardown::VARIABLE, self.tag.name());
        command
    }

    /// Runs `work` inside. Sockets that it opens stay in the namespace.
    ///
    /// # Errors
    /// The namespace is gone, or what `work` returns.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let namespace = File::open(PathBuf::from("/run/netns").join(&self.name))
            .with_context(|| format!("{} is gone", self.name))?;
        // In a thread of its own: a namespace belongs to a thread.
        thread::scope(|scope| {
            let inside = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).context("cannot enter the namespace")?;
                work()
            });
            inside
                .join()
                .map_err(|_| anyhow!("a panic in a namespace"))?
        })
    }

    /// A pair of links, both up: `name` here, and `peer` in `other`.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn connect(&self, name: &str, other: &Self, peer: &str) -> Result<()> {
        let netns = other.name();
        self.ip(&format!(
            "link add {name} type veth peer name {peer} netns {netns}"
        ))?;
        self.ip(&format!("link set {name} up"))?;
        other.ip(&format!("link set {peer} up"))
    }

    /// Gives a link an address with its prefix length. It can be used at once: duplicate address
    /// detection is off.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn address(&self, link: &str, address: &str) -> Result<()> {
        let at_once = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("address add {address} dev {link}{at_once}"))
    }

    /// `ip` with these words, inside.
    ///
    /// # Errors
    /// iproute2 refuses.
    pub fn ip(&self, words: &str) -> Result<()> {
        let words = ["ip", "-n", &self.name].into_iter().chain(words.split(' '));
        let mut command = process::command(words.clone());
        process::output(&mut command, "ip", LIMIT)
            .with_context(|| words.collect::<Vec<_>>().join(" "))?;
        Ok(())
    }

    /// Sets a kernel setting of this namespace.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn sysctl(&self, name: &'static str, value: &'static str) -> Result<()> {
        self.inside(move || {
            fs::write(PathBuf::from("/proc/sys").join(name), value)
                .with_context(|| format!("cannot set {name}"))
        })
    }
}
