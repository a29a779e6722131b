//! The running daemon, as the kernel sees it.

mod node_support;

use std::time::Duration;

use node_support::{World, eventually};

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
        assert_eq!(node.threads(line), [expected; 3], "{line}");
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
