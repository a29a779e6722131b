//! What an operator sees: the program's words, output and exit status.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking"
)]

mod common;

use std::process::{Command, Stdio};

use common::{Service, program};
use serde_json::Value;
use tempfile::TempDir;

#[tokio::test]
async fn a_bad_configuration_is_told_with_file_and_line_and_ends_with_78() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("accounts.toml");
    std::fs::write(
        &path,
        "listen = \"127.0.0.1:0\"\ndata = \"x\"\nnames = [\"localhost\"]\nport = 1\n",
    )
    .unwrap();
    let output = program(&directory, &["serve"], "");
    assert_eq!(output.status.code(), Some(78));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains(&format!("{}:4: unknown field `port`", path.display())),
        "{told}"
    );
    assert_eq!(told.lines().count(), 1);
    assert!(!directory.path().join("x").exists());
}

#[tokio::test]
async fn serve_without_an_authority_says_which_file_is_missing() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let text = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\nnames = [\"localhost\"]\n");
    std::fs::write(directory.path().join("accounts.toml"), text).unwrap();
    let output = program(&directory, &["serve"], "");
    assert_eq!(output.status.code(), Some(69));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("ca.pem"), "{told}");
}

#[tokio::test]
async fn an_unknown_schema_version_is_refused_with_78() {
    let service = Service::start().await;
    let database = service.directory.path().join("data/accounts.db");
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    let output = program(&service.directory, &["account", "show", "ann"], "");
    assert_eq!(output.status.code(), Some(78));
}

#[tokio::test]
async fn a_subscription_is_extended_beside_the_service() {
    let service = Service::start().await;
    service.create_ann();
    let record =
        || serde_json::from_str::<Value>(&service.program(&["account", "show", "ann"])).unwrap();
    let before = record();
    let end = service.program(&["account", "extend", "ann", "--days", "30"]);
    assert_eq!(record()["subscription"], end);
    assert_ne!(record()["subscription"], before["subscription"]);
    assert_eq!(record()["devices"], Value::Null);
    let served = service.get("/v1/account", common::ANN).await.json();
    assert_eq!(served["subscription"], end);
}

#[tokio::test]
async fn secrets_lie_in_files_of_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let service = Service::start().await;
    // An answer says that the service has made its files.
    service
        .get("/", None)
        .await
        .is_problem(404, "no-such-route");
    let data = service.directory.path().join("data");
    for file in ["accounts.db", "ca.key", "token.key"] {
        let mode = std::fs::metadata(data.join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    for key in std::fs::read_dir(data.join("tickets")).unwrap() {
        let mode = key.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn sigterm_ends_the_service_with_0_and_without_a_word() {
    let service = Service::start().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayfly-accounts"))
        .arg("--config")
        .arg(service.directory.path().join("accounts.toml"))
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It listens once it has its signal handlers.
    let listens = |process: u32| {
        let links = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let sockets = links.filter_map(|link| std::fs::read_link(link.unwrap().path()).ok());
        let names: Vec<_> = sockets.map(|path| path.display().to_string()).collect();
        let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let listening: Vec<_> = tcp.lines().filter(|line| line.contains(" 0A ")).collect();
        let inode = |line: &&str| {
            line.split_whitespace()
                .nth(9)
                .map(|inode| format!("socket:[{inode}]"))
        };
        listening
            .iter()
            .filter_map(inode)
            .any(|socket| names.contains(&socket))
    };
    while !listens(child.id()) {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        std::thread::yield_now();
    }
    let killed = Command::new("kill")
        .arg(child.id().to_string())
        .status()
        .unwrap();
    assert!(killed.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
}
