//! Network namespaces that end with the test.

use std::net::IpAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A named network namespace with its loopback up. On drop it goes with everything that runs in it.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// A new namespace. `role` is a part of its name, which is unique.
    pub fn new(role: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mftest-{}-{count}-{role}", std::process::id());
        ip(&["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a command inside, split at spaces, which must succeed. Returns what it printed.
    pub fn run(&self, words: &str) -> String {
        let output = self.attempt(words);
        assert!(
            output.status.success(),
            "{words}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command inside, split at spaces, which may fail.
    pub fn attempt(&self, words: &str) -> Output {
        let mut words_in = words.split_whitespace();
        let program = words_in.next().unwrap();
        self.command(program).args(words_in).output().unwrap()
    }

    /// Runs `ip` inside, which must succeed.
    pub fn ip(&self, words: &str) {
        self.run(&format!("ip {words}"));
    }

    /// Starts a command inside. It is killed when the returned value is dropped.
    pub fn spawn(&self, mut command: Command) -> Process {
        command.stdin(Stdio::null());
        Process(command.spawn().unwrap())
    }

    /// Runs a function inside, on a new thread, because the thread stays inside.
    pub fn within<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let handle = std::fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
                nix::sched::setns(&handle, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                act()
            });
            inside.join().unwrap()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let inside = Command::new("ip")
            .args(["netns", "pids", &self.name])
            .output();
        if let Ok(pids) = inside {
            for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
                let _gone = Command::new("kill").args(["-9", pid]).output();
            }
        }
        let _gone = Command::new("ip")
            .args(["netns", "del", &self.name])
            .output();
    }
}

/// A process that does not outlive the test.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Joins two namespaces by a veth pair: each end with a name and its addresses, both up.
/// Duplicate address detection is off, so that an IPv6 address serves at once.
pub fn veth(left: (&Namespace, &str, &[(IpAddr, u8)]), right: (&Namespace, &str, &[(IpAddr, u8)])) {
    let (near, far) = (left.1, right.1);
    let there = right.0.name();
    left.0.ip(&format!(
        "link add name {near} type veth peer name {far} netns {there}"
    ));
    for (namespace, link, addresses) in [left, right] {
        for (address, bits) in addresses {
            let nodad = if address.is_ipv6() { " nodad" } else { "" };
            namespace.ip(&format!("addr add {address}/{bits} dev {link}{nodad}"));
        }
        namespace.ip(&format!("link set dev {link} up"));
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().unwrap();
    assert!(
        output.status.success(),
        "ip {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
