//! What an operator sees: the program's commands, output and exit status.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers fail by panicking"
)]

mod common;

use std::process::{Command, Stdio};

use common::{Service, program};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
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
async fn an_add_on_is_extended_and_ended_beside_the_service() {
    let service = Service::start().await;
    service.create_ann();
    let record = || -> Value {
        serde_json::from_str(&service.program(&["account", "show", "ann"])).unwrap()
    };
    let end = service.program(&["account", "addon", "ann", "ipv4", "--days", "30"]);
    assert_eq!(record()["ipv4"], end);
    assert_eq!(record()["multihop"], Value::Null);
    let past = "2026-01-01T00:00:00Z";
    service.program(&["account", "addon", "ann", "ipv4", "--until", past]);
    assert_eq!(record()["ipv4"], past);
    for words in [
        ["account", "extend", "ann"].as_slice(),
        &["account", "extend", "bob", "--days", "1"],
    ] {
        assert!(!program(&service.directory, words, "").status.success());
    }
}

#[tokio::test]
async fn an_operator_lists_the_fields_that_are_asked_for() {
    let service = Service::start().await;
    service.create_ann();
    service.program(&["account", "create", "Bob"]);
    assert_eq!(service.program(&["account", "list"]), "ann\nBob");
    let listed = service.program(&["account", "list", "--fields", "username,email,streaming"]);
    assert_eq!(listed, "ann\t\t0\nBob\t\t0");
    for (fields, said) in [("devices", "not kept"), ("shoe_size", "a field is one of")] {
        let output = program(
            &service.directory,
            &["account", "list", "--fields", fields],
            "",
        );
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(said), "{told}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[tokio::test]
async fn an_operator_erases_beside_the_service() {
    let service = Service::start().await;
    service.create_ann();
    service.program(&["account", "erase", "ann"]);
    let answer = service.get("/v1/account", common::ANN).await;
    answer.is_problem(401, "credentials-wrong");
    let again = program(&service.directory, &["account", "erase", "ann"], "");
    assert_eq!(again.status.code(), Some(1));
}

#[tokio::test]
async fn tokens_are_signed_with_the_next_key_once_it_is_put_to_use() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    let mut service = Service::start().await;
    service.create_ann();
    let former = service.program(&["keys"]);
    let next = service.program(&["keys", "new"]);
    assert_eq!(service.program(&["keys"]), format!("{former}\n{next}"));
    let signed_by = async |service: &Service| {
        let answer = service.post("/v1/tokens", common::ANN, json!({})).await;
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verifies = |key: &str| {
            UnparsedPublicKey::new(&ED25519, STANDARD.decode(key).unwrap())
                .verify(signed.as_bytes(), &signature)
                .is_ok()
        };
        (verifies(&former), verifies(&next))
    };
    assert_eq!(signed_by(&service).await, (true, false));
    assert_eq!(service.program(&["keys", "use"]), next);
    service.restart().await;
    assert_eq!(signed_by(&service).await, (false, true));
    assert_eq!(service.program(&["keys"]), next);
    let output = program(&service.directory, &["keys", "use"], "");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn beside_the_store_lies_what_is_listed_and_nothing_else() {
    let service = Service::start().await;
    service.create_ann();
    service.program(&["keys", "shop"]);
    service.program(&["keys", "new"]);
    service.admit("node-1").await;
    assert_eq!(
        service
            .post("/v1/tokens", common::ANN, json!({}))
            .await
            .status,
        200
    );
    let data = service.directory.path().join("data");
    let mut names: Vec<String> = common::files(&data)
        .into_keys()
        .filter(|path| path.parent() == Some(&data))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    // It is empty between transactions.
    names.retain(|name| name != "accounts.db-journal");
    let listed = [
        "accounts.db",
        "ca.key",
        "ca.pem",
        "shop.key",
        "token.key",
        "token.next.key",
    ];
    assert_eq!(names, listed);
}

#[tokio::test]
async fn secrets_lie_in_files_of_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let service = Service::start().await;
    // When it answers, the service has made its files.
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
    while common::listening_port(child.id()).is_none() {
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
