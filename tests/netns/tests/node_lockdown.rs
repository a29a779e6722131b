//! The running daemon, as the kernel sees it.

mod node_support;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use mayfly_netns::Namespace;
use node_support::{World, eventually, program};

#[test]
fn every_thread_has_the_filter_no_new_privileges_and_no_capability() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let none = "0000000000000000";
    for (line, expected) in [
        ("Seccomp", "2"),
        ("NoNewPrivs", "1"),
        ("CapEff", none),
        ("CapPrm", none),
        ("CapInh", none),
        ("CapBnd", none),
        ("CapAmb", none),
        ("Uid", "65532\t65532\t65532\t65532"),
        ("Gid", "65532\t65532\t65532\t65532"),
        ("Groups", ""),
    ] {
        let threads = 2 + std::thread::available_parallelism().unwrap().get();
        assert_eq!(node.threads(line), vec![expected; threads], "{line}");
    }
}

#[test]
fn the_daemon_holds_no_file() {
    let world = World::new();
    let node = world.node("node-a", 10);
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", node.pid())).unwrap();
    for descriptor in descriptors {
        let target = std::fs::read_link(descriptor.unwrap().path()).unwrap();
        let target = target.to_str().unwrap();
        let known = ["socket:", "anon_inode:", "/dev/net/tun", "/dev/null"];
        assert!(
            known.iter().any(|known| target.starts_with(known)),
            "{target}"
        );
    }
}

#[test]
fn sigterm_ends_it_with_status_0() {
    let world = World::new();
    let mut node = world.node("node-a", 10);
    node.terminate();
    let status = eventually("the daemon ends", Duration::from_secs(10), || {
        node.process.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
}

/// The end of a daemon on a kernel that lacks a system call: its exit status, its error message,
/// and what still listens or carries packets.
fn on_a_kernel_without(call: &str) -> (Option<i32>, String, String) {
    let namespace = Namespace::new("node");
    namespace.ip("link add eth0 type veth peer name other");
    // The address at which the example's operator asks for the node's health.
    namespace.ip("addr add 192.0.2.10/24 dev eth0");
    namespace.ip("link set eth0 up");
    namespace.ip("link set other up");
    let mut command = namespace.command(program("attack").to_str().unwrap());
    let settings = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crates/node/example.toml"
    );
    let output = command
        .args(["syscall-filter", call])
        .arg(program("mayfly-node"))
        .args(["--config", settings])
        .output()
        .unwrap();
    let words = String::from_utf8(output.stderr).unwrap();
    let left = namespace.run("ss -Hlntu") + &namespace.run("ip -o link show type tun");
    (output.status.code(), words, left)
}

#[test]
fn a_kernel_without_landlock_gets_one_line_and_no_service() {
    let (status, words, _) = on_a_kernel_without("landlock");
    assert_eq!(status, Some(69), "{words}");
    let line = "mayfly-node: confinement: the kernel has no Landlock, or its Landlock is too old\n";
    assert_eq!(words, line);
}

#[test]
fn a_kernel_without_seccomp_gets_one_line_and_no_service() {
    let (status, words, _) = on_a_kernel_without("seccomp");
    assert_eq!(status, Some(70), "{words}");
    let line = "mayfly-node: confinement: the kernel refuses the system call filter\n";
    assert_eq!(words, line);
}

#[test]
fn a_layer_that_fails_half_way_ends_the_daemon_and_nothing_is_served() {
    for step in [
        "close-range",
        "prlimit",
        "setresuid",
        "capset",
        "no-new-privileges",
        "landlock-in-force",
        "filter-in-force",
    ] {
        let (status, words, left) = on_a_kernel_without(step);
        assert!(matches!(status, Some(69 | 70 | 77)), "{step}: {status:?}");
        assert!(!words.is_empty(), "{step}: no reason");
        let ours = words.lines().all(|line| line.starts_with("mayfly-node: "));
        assert!(ours, "{step}: {words}");
        assert_eq!(left, "", "{step}");
    }
}

#[test]
fn a_call_that_is_not_in_the_table_kills_the_shipped_daemon_by_sigsys() {
    let world = World::new();
    let mut node = world.node("node-a", 10);
    // When a thread waits the next time, it makes another call instead.
    let mut other_call = Command::new("strace");
    other_call
        .args(["-qq", "-f", "-e", "trace=epoll_wait"])
        .args(["-e", "inject=epoll_wait:retval=0:syscall=getppid", "-p"])
        .arg(node.pid().to_string())
        .stderr(Stdio::null());
    let mut tracer = other_call.spawn().unwrap();
    let status = eventually("the daemon ends", Duration::from_secs(20), || {
        node.process.0.try_wait().unwrap()
    });
    tracer.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGSYS));
}
