//! The program killed in the middle of writes: no account that was acknowledged is lost.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{self, Answer, PASSWORD, Service, authorization};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The number of kills, each in the middle of other writes.
const TURNS: usize = 4;
/// The number of clients. Each signs up and edits one account after another.
const CLIENTS: usize = 4;

/// The program `serve`, in a process of its own.
struct Program {
    child: Child,
}

impl Program {
    /// Starts it with the configuration in `directory`, and waits until it listens.
    fn start(directory: &TempDir) -> (Self, u16) {
        let child = Command::new(env!("CARGO_BIN_EXE_mayfly-accounts"))
            .arg("--config")
            .arg(directory.path().join("accounts.toml"))
            .arg("serve")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut program = Self { child };
        let port = loop {
            assert!(program.child.try_wait().unwrap().is_none(), "it ended");
            match common::listening_port(program.child.id()) {
                Some(port) => break port,
                None => std::thread::yield_now(),
            }
        };
        (program, port)
    }
}

impl Drop for Program {
    /// Sends SIGKILL.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Signs up and edits until no answer comes. Returns the names that were acknowledged, and those of
/// them whose edit was acknowledged, too.
async fn write_until_killed(
    service: Arc<Service>,
    prefix: String,
    done: Arc<AtomicUsize>,
) -> (Vec<String>, Vec<String>) {
    let (mut made, mut edited) = (Vec::new(), Vec::new());
    for n in 0.. {
        let name = format!("{prefix}-{n}");
        let sign_up = json!({"username": name, "password": PASSWORD});
        match ask(&service, "POST", "/v1/accounts", None, sign_up).await {
            Some(answer) => assert_eq!(answer.status, 201),
            None => break,
        }
        made.push(name.clone());
        let user = Some((name.as_str(), PASSWORD));
        let edit = json!({"country": "DE"});
        match ask(&service, "PATCH", "/v1/account", user, edit).await {
            Some(answer) => assert_eq!(answer.status, 200),
            None => break,
        }
        edited.push(name);
        done.fetch_add(1, Ordering::Relaxed);
    }
    (made, edited)
}

/// `None`: the program was killed.
async fn ask(
    service: &Service,
    method: &str,
    path: &str,
    user: Option<(&str, &str)>,
    body: Value,
) -> Option<Answer> {
    let mut headers = vec![("content-type", "application/json".to_owned())];
    headers.extend(authorization(user));
    service
        .try_send(method, path, &headers, &body.to_string())
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_no_account() {
    let mut service = Service::start_with("[limits]\nsign_ups = 1000000\n").await;
    service.stop().await;
    let (mut made, mut edited) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let (program, port) = Program::start(&service.directory);
        service.address.set_port(port);
        service.counts().await;
        let shared = Arc::new(service);
        let done = Arc::new(AtomicUsize::new(0));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let prefix = format!("user-{turn}-{client}");
                tokio::spawn(write_until_killed(shared.clone(), prefix, done.clone()))
            })
            .collect();
        while done.load(Ordering::Relaxed) < 3 + turn {
            assert!(!clients.iter().any(JoinHandle::is_finished));
            tokio::task::yield_now().await;
        }
        drop(program);
        for client in clients {
            let (more_made, more_edited) = client.await.unwrap();
            made.extend(more_made);
            edited.extend(more_edited);
        }
        service = Arc::into_inner(shared).unwrap();
    }
    let (_program, port) = Program::start(&service.directory);
    service.address.set_port(port);
    service.counts().await;
    let listed = service.program(&["account", "list", "--fields", "username,country"]);
    let has = |name: &String| {
        let mut rows = listed.lines().map(|line| line.split('\t'));
        rows.find_map(|mut row| (row.next()? == name).then(|| row.next().unwrap_or_default()))
    };
    assert!(made.len() > TURNS && made.iter().all(|name| has(name).is_some()));
    assert!(edited.iter().all(|name| has(name) == Some("DE")));
    let last = Some((edited[0].as_str(), PASSWORD));
    assert_eq!(service.get("/v1/account", last).await.status, 200);
}
