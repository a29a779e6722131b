//! The tables of system calls, compared with the calls of a node under load.
//!
//! The filter itself shows that the node makes no other calls: it would be dead. This test shows
//! that every call that is allowed has a use.

mod node_support;

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use mayfly_node::{lockdown, syscalls};
use mayfly_sys::confine::Allowed;
use node_support::{Customer, Internet, Node, World, eventually};

/// Calls that the daemon need not make in a healthy minute: for memory, when the allocator decides;
/// for every kind of end; after a stop; for clocks that the vDSO does not have.
const SELDOM: [i64; 18] = [
    libc::SYS_brk,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_clock_gettime,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigaction,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_tgkill,
    libc::SYS_sigaltstack,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // Only in a build with debug assertions.
    libc::SYS_fcntl,
    // For a train that the interface cannot split, or a TLS record in two parts.
    libc::SYS_sendmsg,
];

fn calls(table: &[Allowed]) -> BTreeSet<i64> {
    table.iter().map(|row| row.call).collect()
}

/// Traces a process with all its threads.
struct Tracer {
    process: Child,
    output: tempfile::NamedTempFile,
}

impl Tracer {
    fn attach(pid: u32) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let mut strace = Command::new("strace");
        strace
            .args(["-qq", "-f", "-n", "-e", "signal=none", "-o"])
            .arg(output.path())
            .args(["-p", &pid.to_string()]);
        let process = strace.spawn().unwrap();
        let traced = |thread: fs::DirEntry| {
            let status = fs::read_to_string(thread.path().join("status")).unwrap();
            !status.contains("TracerPid:\t0\n")
        };
        eventually("every thread is traced", Duration::from_secs(10), || {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            threads.map(Result::unwrap).all(traced).then_some(())
        });
        Self { process, output }
    }

    /// The numbers of all calls, once the process has ended. A line is `PID [ NUMBER] NAME(...`.
    fn seen(mut self) -> BTreeSet<i64> {
        self.process.wait().unwrap();
        let lines = fs::read_to_string(self.output.path()).unwrap();
        let number = |line: &str| {
            let (_, rest) = line.split_once('[')?;
            rest.split_once(']')?.0.trim().parse().ok()
        };
        lines.lines().filter_map(number).collect()
    }
}

impl Node {
    fn janitor(&self) -> u32 {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        children.trim().parse().unwrap()
    }
}

/// A customer's whole life, with IPv4 and IPv6, and a request for the node's health.
fn load(world: &World, node: &Node) {
    world.accounts.create("ann", &["--ipv6"]);
    let mut customer = Customer::new(world, 100);
    let granted = customer.connect(node, &world.accounts.token("ann", false));
    customer.fetch(Internet::IPV4).unwrap();
    customer.fetch(Internet::IPV6).unwrap();
    world.devices_become("ann", 1);
    node.wait_for("ok");
    let bearer = granted["preshared_key"].as_str().unwrap();
    assert_eq!(node.release(&customer, bearer).status, 204);
    world.devices_become("ann", 0);
}

#[test]
fn every_call_that_is_allowed_is_called_or_has_its_time_named() {
    let mut world = World::new();
    let mut node = world.node("node-a", 10);
    let tracers = [Tracer::attach(node.pid()), Tracer::attach(node.janitor())];
    // So that the node connects to the service again.
    world.accounts.stop();
    node.wait_for("counter-away");
    world.accounts.start(&world.wire);
    node.wait_for("ok");
    load(&world, &node);
    node.terminate();
    eventually("the daemon ends", Duration::from_secs(20), || {
        node.process.0.try_wait().unwrap()
    });
    let [daemon, janitor] = tracers.map(Tracer::seen);

    let table = calls(syscalls::ALLOWED);
    let seldom = BTreeSet::from(SELDOM);
    let unused: Vec<_> = table.difference(&daemon).collect();
    let unused: Vec<_> = unused
        .iter()
        .filter(|call| !seldom.contains(call))
        .collect();
    assert!(
        unused.is_empty(),
        "allowed to the daemon for nothing: {unused:?}"
    );
    let unknown: Vec<_> = daemon.difference(&table).collect();
    assert!(unknown.is_empty(), "not in the daemon's table: {unknown:?}");

    let table = calls(lockdown::JANITOR_CALLS);
    let unused: Vec<_> = table.difference(&janitor).collect();
    let unused: Vec<_> = unused
        .iter()
        .filter(|call| !seldom.contains(call))
        .collect();
    // Called before the janitor could be traced.
    let before = [libc::SYS_write, libc::SYS_close];
    let unused: Vec<_> = unused
        .iter()
        .filter(|call| !before.contains(call))
        .collect();
    assert!(
        unused.is_empty(),
        "allowed to the janitor for nothing: {unused:?}"
    );
    let unknown: Vec<_> = janitor.difference(&table).collect();
    assert!(
        unknown.is_empty(),
        "not in the janitor's table: {unknown:?}"
    );
}
