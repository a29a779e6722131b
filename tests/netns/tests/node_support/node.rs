//! The daemon, which runs directly on this machine in its own namespace.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use mayfly_netns::{Namespace, Process};
use serde_json::json;
use tempfile::NamedTempFile;

use super::https::{self, Answer, Server};
use super::{Customer, PATIENCE, World, eventually, program};

/// The account service's address.
const ACCOUNTS: &str = "192.0.2.1:8443";

pub(crate) struct Node {
    pub process: Process,
    pub namespace: Namespace,
    pub name: String,
    pub host: u8,
    pub secret: String,
    ca: String,
    settings: NamedTempFile,
}

impl Node {
    /// A daemon that has started. It may be in any state.
    pub(crate) fn start(world: &World, name: &str, host: u8) -> Self {
        Self::start_with(world, name, host, &world.accounts.admit(name))
    }

    /// The same, with the admission secret of a node that is registered.
    pub(crate) fn start_with(world: &World, name: &str, host: u8, secret: &str) -> Self {
        Self::start_edited(world, name, host, secret, |text| text)
    }

    /// A node that has its counter stream, with another prefix of inner IPv4 addresses.
    pub(crate) fn with_pool(world: &World, name: &str, host: u8, ipv4: &str) -> Self {
        Self::with(world, name, host, "10.64.0.0/24", ipv4)
    }

    /// A node that has its counter stream, with other words in its settings.
    pub(crate) fn with(world: &World, name: &str, host: u8, words: &str, others: &str) -> Self {
        let secret = world.accounts.admit(name);
        let edit = |text: String| text.replace(words, others);
        let node = Self::start_edited(world, name, host, &secret, edit);
        node.wait_for("ok");
        node
    }

    /// The same, with the account service at another address.
    pub(crate) fn start_at(
        world: &World,
        name: &str,
        host: u8,
        secret: &str,
        accounts: &str,
    ) -> Self {
        Self::start_edited(world, name, host, secret, |text| {
            text.replace(ACCOUNTS, accounts)
        })
    }

    /// The same, with other settings.
    pub(crate) fn start_edited(
        world: &World,
        name: &str,
        host: u8,
        secret: &str,
        edit: impl Fn(String) -> String,
    ) -> Self {
        let namespace = world.join(name, host);
        namespace.ip("route add default via 192.0.2.1");
        namespace.ip("route add default via 2001:db8::1");
        let mut settings = NamedTempFile::new().unwrap();
        let text = edit(text(world, name, host, secret));
        settings.write_all(text.as_bytes()).unwrap();
        let process = spawn(&namespace, &settings);
        Self {
            process,
            namespace,
            name: name.to_owned(),
            host,
            secret: secret.to_owned(),
            ca: world.accounts.ca.clone(),
            settings,
        }
    }

    /// Kills the daemon and starts it again.
    pub(crate) fn restart(&mut self) {
        let _ = self.process.0.kill();
        let _ = self.process.0.wait();
        self.process = spawn(&self.namespace, &self.settings);
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
    }

    /// The daemon's own process, which `ip netns exec` has become.
    pub(crate) fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// The word of `GET /healthz`.
    pub(crate) fn health(&self) -> Option<String> {
        self.namespace.within(|| {
            let mut stream = TcpStream::connect(format!("192.0.2.{}:9180", self.host)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream
                .write_all(b"GET /healthz HTTP/1.1\r\nhost: node\r\n\r\n")
                .ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            Some(answer.rsplit("\r\n").next()?.to_owned())
        })
    }

    pub(crate) fn wait_for(&self, word: &str) {
        let what = format!("{} says {word}", self.name);
        eventually(&what, PATIENCE, || (self.health()? == word).then_some(()));
    }

    pub(crate) fn server(&self) -> Server {
        Server {
            address: format!("192.0.2.{}:443", self.host).parse().unwrap(),
            name: self.name.clone(),
            ca: self.ca.clone(),
        }
    }

    /// `POST /v1/peers`, from the customer's namespace.
    pub(crate) fn enrol(&self, customer: &Customer, token: &str, bearer: Option<&str>) -> Answer {
        let body = json!({"token": token, "public_key": customer.public_key}).to_string();
        self.ask(customer, "POST /v1/peers", bearer, body.as_bytes())
    }

    /// `DELETE /v1/peers`, from the customer's namespace.
    pub(crate) fn release(&self, customer: &Customer, bearer: &str) -> Answer {
        let body = json!({"public_key": customer.public_key}).to_string();
        self.ask(customer, "DELETE /v1/peers", Some(bearer), body.as_bytes())
    }

    pub(crate) fn ask(
        &self,
        customer: &Customer,
        line: &str,
        bearer: Option<&str>,
        body: &[u8],
    ) -> Answer {
        let bearer = bearer.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|bearer| ("authorization", bearer.as_str()))
            .collect();
        let server = self.server();
        customer
            .namespace
            .within(|| https::request(&server, https::all_groups(), line, &headers, body).unwrap())
    }

    /// The lines of each thread's status that begin with `name`.
    pub(crate) fn threads(&self, name: &str) -> Vec<String> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).unwrap();
        let line = |status: String| {
            let found = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            found.unwrap().trim().to_owned()
        };
        threads
            .map(|thread| line(fs::read_to_string(thread.unwrap().path().join("status")).unwrap()))
            .collect()
    }
}

fn spawn(namespace: &Namespace, settings: &NamedTempFile) -> Process {
    let mut command = namespace.command(program("mayfly-node").to_str().unwrap());
    command.arg("--config").arg(settings.path());
    namespace.spawn(command)
}

fn text(world: &World, name: &str, host: u8, secret: &str) -> String {
    let (key, ca) = (&world.accounts.token_key, &world.accounts.ca);
    format!(
        r#"
name = "{name}"
serial = 1
dns = ["198.51.100.80"]
[uplink]
interface = "eth0"
[wireguard]
port = 51820
addresses = ["192.0.2.{host}", "2001:db8::{host}"]
mtu = 1420
persistent_keepalive = 25
[enrolment]
port = 443
[operator]
healthz = "192.0.2.{host}:9180"
monitors = ["192.0.2.1/32"]
[pools.default]
ipv4 = "10.64.0.0/24"
ipv6 = "fd00:64::/64"
[tokens]
keys = ["{key}"]
[accounts]
address = "{ACCOUNTS}"
tls_name = "accounts.example"
secret = "{secret}"
ca = """
{ca}"""
[privilege]
uid = 65532
gid = 65532
"#
    )
}
