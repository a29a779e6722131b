//! The real account service, in its own directory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_netns::{Namespace, Process};
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::https::{self, Answer, Server};
use super::{PATIENCE, eventually, program};

pub(crate) struct Accounts {
    process: Option<Process>,
    pub ca: String,
    /// The public key for tokens, as nodes pin it.
    pub token_key: String,
    namespace: String,
    directory: TempDir,
}

impl Accounts {
    pub(crate) const PASSWORD: &str = "correct horse battery staple";

    pub(crate) fn new(wire: &Namespace) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let config = format!(
            "listen = \"192.0.2.1:8443\"\ndata = {data:?}\nnames = [\"accounts.example\"]\n\
             [limits]\ntokens = 1000\nfailures = 1000\n"
        );
        std::fs::write(directory.path().join("accounts.toml"), config).unwrap();
        let mut accounts = Self {
            process: None,
            ca: String::new(),
            token_key: String::new(),
            namespace: wire.name().to_owned(),
            directory,
        };
        accounts.tool(&["ca", "init"], "");
        accounts.token_key = accounts.tool(&["keys"], "").trim().to_owned();
        accounts.ca = std::fs::read_to_string(data.join("ca.pem")).unwrap();
        accounts.start(wire);
        accounts
    }

    pub(crate) fn start(&mut self, wire: &Namespace) {
        let mut command = wire.command(program("mayfly-accounts").to_str().unwrap());
        command.arg("--config").arg(self.config()).arg("serve");
        self.process = Some(wire.spawn(command));
        wire.within(|| {
            eventually("the account service listens", PATIENCE, || {
                std::net::TcpStream::connect("192.0.2.1:8443").ok()
            })
        });
    }

    pub(crate) fn stop(&mut self) {
        self.process = None;
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn server(&self) -> Server {
        Server {
            address: "192.0.2.1:8443".parse().unwrap(),
            name: "accounts.example".to_owned(),
            ca: self.ca.clone(),
        }
    }

    /// Registers a node, and returns its admission secret.
    pub(crate) fn admit(&self, node: &str) -> String {
        self.tool(&["ca", "node", node], "").trim().to_owned()
    }

    /// Makes a node admit no one, or customers again.
    pub(crate) fn drain(&self, node: &str, on: bool) {
        self.tool(&["ca", if on { "drain" } else { "admit" }, node], "");
    }

    /// A key for the shop.
    pub(crate) fn shop_key(&self) -> String {
        self.tool(&["keys", "shop"], "").trim().to_owned()
    }

    /// An account with a subscription.
    pub(crate) fn create(&self, user: &str, more: &[&str]) {
        let mut words = vec![
            "account",
            "create",
            user,
            "--password-stdin",
            "--subscription-days",
            "30",
        ];
        words.extend(more);
        self.tool(&words, Self::PASSWORD);
    }

    /// A token, which is requested from the namespace of the service.
    pub(crate) fn token(&self, user: &str, anyway: bool) -> String {
        let answer = self.ask_token(user, anyway);
        assert_eq!(answer.status, 200, "{}", answer.head);
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    pub(crate) fn ask_token(&self, user: &str, anyway: bool) -> Answer {
        let body = json!({ "anyway": anyway }).to_string();
        self.ask("POST /v1/tokens", user, body.as_bytes())
    }

    /// The key that tokens are signed with.
    pub(crate) fn services_key(&self) -> KeyPair {
        let pem = std::fs::read_to_string(self.data().join("token.key")).unwrap();
        KeyPair::from_pkcs8_pem_and_sign_algo(&pem, &PKCS_ED25519).unwrap()
    }

    pub(crate) fn devices(&self, user: &str) -> u64 {
        self.record(user)["devices"].as_u64().unwrap()
    }

    fn record(&self, user: &str) -> Value {
        self.ask("GET /v1/account", user, b"").json()
    }

    fn ask(&self, line: &str, user: &str, body: &[u8]) -> Answer {
        let basic = STANDARD.encode(format!("{user}:{}", Self::PASSWORD));
        let headers = [
            ("authorization", format!("Basic {basic}")),
            ("content-type", "application/json".to_owned()),
        ];
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let namespace = std::fs::File::open(Path::new("/run/netns").join(&self.namespace)).unwrap();
        let server = self.server();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                https::request(&server, https::all_groups(), line, &headers, body).unwrap()
            });
            asked.join().unwrap()
        })
    }

    fn tool(&self, words: &[&str], input: &str) -> String {
        let mut command = Command::new(program("mayfly-accounts"));
        command.arg("--config").arg(self.config()).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, input.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "mayfly-accounts {words:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("accounts.toml")
    }
}
