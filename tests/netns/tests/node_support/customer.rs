//! A customer with a stock client: wireguard-go, driven by `wg`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use mayfly_netns::{Namespace, Process};
use serde_json::Value;

use super::internet::fetch;
use super::{Node, PATIENCE, World, eventually};

pub(crate) struct Customer {
    client: Option<Process>,
    pub namespace: Namespace,
    pub public_key: String,
    private_key: String,
    /// Unique, because the clients' sockets are in one directory for the whole machine.
    interface: String,
}

impl Customer {
    /// A machine with a key pair and no tunnel.
    pub(crate) fn new(world: &World, host: u8) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let private_key = pipe("wg", &["genkey"], "").trim().to_owned();
        Self {
            client: None,
            namespace: world.join(&format!("customer{host}"), host),
            public_key: pipe("wg", &["pubkey"], &private_key).trim().to_owned(),
            private_key,
            interface: format!("wg{}-{count}", std::process::id()),
        }
    }

    /// Enrols with a token and brings the tunnel up. Returns the node's answer.
    pub(crate) fn connect(&mut self, node: &Node, token: &str) -> Value {
        let answer = node.enrol(self, token, None);
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, 200, "{body}");
        let granted = answer.json();
        self.bring_up(&granted);
        granted
    }

    /// Does what wg-quick would do with the answer to an enrolment.
    pub(crate) fn bring_up(&mut self, granted: &Value) {
        if self.client.is_none() {
            self.start_client();
        }
        let text = |name: &str| granted[name].as_str().unwrap().to_owned();
        let config = format!(
            "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {}\nPresharedKey = {}\n\
             Endpoint = {}\nAllowedIPs = 0.0.0.0/0, ::/0\n",
            self.private_key,
            text("public_key"),
            text("preshared_key"),
            text("endpoint"),
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(config.as_bytes()).unwrap();
        let interface = &self.interface;
        self.namespace
            .run(&format!("wg setconf {interface} {}", file.path().display()));
        self.namespace
            .attempt(&format!("ip addr flush dev {interface}"));
        for address in granted["addresses"].as_array().unwrap() {
            let address = address.as_str().unwrap();
            let nodad = if address.contains(':') { " nodad" } else { "" };
            self.namespace
                .ip(&format!("addr add {address} dev {interface}{nodad}"));
        }
        self.namespace
            .ip(&format!("link set {interface} mtu {} up", granted["mtu"]));
        self.namespace
            .ip(&format!("route replace default dev {interface}"));
        self.namespace
            .ip(&format!("-6 route replace default dev {interface}"));
    }

    /// The name of the tunnel's device.
    pub(crate) fn interface(&self) -> &str {
        &self.interface
    }

    /// Gives the client another port, and makes it forget its source address.
    pub(crate) fn rebind(&self) {
        let interface = &self.interface;
        self.namespace
            .run(&format!("wg set {interface} listen-port 51900"));
    }

    /// Takes the tunnel down without notice.
    pub(crate) fn vanish(&mut self) {
        self.client = None;
    }

    pub(crate) fn fetch(&self, address: &str) -> std::io::Result<Vec<u8>> {
        self.namespace.within(|| fetch(address))
    }

    fn start_client(&mut self) {
        let mut command = self.namespace.command("wireguard-go");
        command.args(["-f", &self.interface]);
        command
            .env("WG_PROCESS_FOREGROUND", "1")
            .env("LOG_LEVEL", "silent");
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.client = Some(self.namespace.spawn(command));
        eventually("the client listens", PATIENCE, || {
            self.socket().exists().then_some(())
        });
    }

    fn socket(&self) -> PathBuf {
        format!("/var/run/wireguard/{}.sock", self.interface).into()
    }
}

impl Drop for Customer {
    fn drop(&mut self) {
        self.client = None;
        let _ = std::fs::remove_file(self.socket());
    }
}

fn pipe(program: &str, words: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    let mut child = command
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}
