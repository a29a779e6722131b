//! What Mayfly needs beside it: an account service with accounts, settings, enrolments.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::cargo::program;
use mayfly_host::process::{self, Job};
use mayfly_host::signals;

use super::client::{Access, Client};
use super::enrol::{Mint, Node};
use super::lab::{CLIENT, Lab, SERVER, UPLINK};
use super::plan::Setup;

const ACCOUNTS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(CLIENT), 8443);
const HEALTH: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(SERVER.0), 9180);
const ACCOUNTS_NAME: &str = "accounts.example";
const NODE_NAME: &str = "node-1.example";
const LIMIT: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);
/// The counter grants no more to an account.
const DEVICES: usize = 4;

/// The account service and its files.
pub struct Mayfly {
    config: PathBuf,
    settings: PathBuf,
    ca: PathBuf,
    mint: Mint,
    /// Until it is taken away.
    service: Option<Job>,
}

impl Mayfly {
    /// Starts the account service in the clients' namespace, and writes the node's settings.
    ///
    /// # Errors
    /// A command fails.
    pub fn prepare(lab: &Lab) -> Result<Self> {
        let data = lab.file("accounts");
        let _ = fs::remove_dir_all(&data);
        let config = lab.file("accounts.toml");
        let text = format!(
            "listen = \"{ACCOUNTS}\"\nnames = [\"{ACCOUNTS_NAME}\"]\ndata = \"{}\"\n\
             [limits]\ntokens = 100\nfailures = 1000\n",
            data.display()
        );
        fs::write(&config, text).context("cannot write settings")?;
        let tool = |words: &[&str]| {
            let mut command = process::command([]);
            command.arg(program("mayfly-accounts")).args(words);
            command.arg("--config").arg(&config);
            process::output(&mut command, "mayfly-accounts", LIMIT)
        };
        tool(&["ca", "init"])?;
        let secret = tool(&["ca", "node", NODE_NAME])?;
        let token_key = tool(&["keys"])?;
        let ca = data.join("ca.pem");
        let authority = fs::read_to_string(&ca).context("mayfly-accounts left no ca.pem")?;
        let settings = lab.file("node.toml");
        let mint = Mint::new()?;
        let token_keys = [token_key.trim(), &mint.public_key()];
        let text = node_settings(&authority, secret.trim(), token_keys);
        fs::write(&settings, text).context("cannot write settings")?;
        let mut serve = lab.client.command([]);
        serve
            .arg(program("mayfly-accounts"))
            .args(["serve", "--config"])
            .arg(&config);
        let service = Job::start(&mut serve, "mayfly-accounts")?;
        let connect = || Ok(TcpStream::connect(ACCOUNTS)?);
        await_that("the account service listens", || {
            lab.client.inside(connect).is_ok()
        })?;
        Ok(Self {
            config,
            settings,
            ca,
            mint,
            service: Some(service),
        })
    }

    /// Ends the account service.
    pub fn lose_accounts(&mut self) {
        self.service = None;
    }

    /// Starts the node, and returns when it takes clients.
    ///
    /// # Errors
    /// It does not.
    pub fn start(&mut self, lab: &Lab, command: &mut Command) -> Result<Job> {
        command.arg("--config").arg(&self.settings);
        let mut job = Job::start(command, "mayfly-node")?;
        await_that("the node takes clients", || {
            job.still_runs().is_ok() && lab.client.inside(health).is_ok_and(|word| word == "ok")
        })?;
        Ok(job)
    }

    /// Enrols a client as `mayfly enrol` does, with the key that it makes.
    ///
    /// # Errors
    /// It fails.
    pub fn enrol(&self, lab: &Lab, number: usize, client: &Client, setup: Setup) -> Result<Access> {
        let user = format!("user{}", number / DEVICES);
        let password = lab.file(&format!("{user}.password"));
        if number.is_multiple_of(DEVICES) {
            let mut create = process::command([]);
            create
                .arg(program("mayfly-accounts"))
                .args(["account", "create", &user, "--ipv6"])
                .args(["--subscription-days", "30", "--config"])
                .arg(&self.config);
            let made = process::output(&mut create, "mayfly-accounts", LIMIT)?;
            fs::write(&password, made).context("cannot write a password")?;
        }
        let out = lab.file(&format!("{}.conf", client.interface));
        let _ = fs::remove_file(&out);
        let node = if setup.v6 {
            format!("{NODE_NAME}@[{}]:443", SERVER.1)
        } else {
            format!("{NODE_NAME}@{}:443", SERVER.0)
        };
        let mut enrol = lab.client.command([]);
        enrol
            .arg(program("mayfly"))
            .args(["enrol", "--user", &user]);
        enrol.args(["--accounts", &format!("{ACCOUNTS_NAME}@{ACCOUNTS}")]);
        enrol
            .args(["--node", &node, "--password-file"])
            .arg(&password);
        enrol
            .arg("--accounts-ca")
            .arg(&self.ca)
            .arg("--out")
            .arg(&out);
        process::output(&mut enrol, "mayfly enrol", LIMIT)?;
        let text = fs::read_to_string(&out).context("mayfly enrol left no file")?;
        access(&text).context("mayfly enrol left half a file")
    }

    /// Enrols many keys at once, under tokens of an operator's own, of which `before` were
    /// spent already.
    ///
    /// # Errors
    /// The node refuses one.
    pub fn enrol_all(&self, lab: &Lab, before: usize, keys: &[&str]) -> Result<Vec<Access>> {
        let ca = fs::read(&self.ca).context("mayfly-accounts left no ca.pem")?;
        let node = Node::new((SERVER.0, 443).into(), NODE_NAME, &ca)?;
        lab.client.inside(|| node.enrol(&self.mint, before, keys))
    }
}

/// What a wg-quick file says. The private key in it takes the place of the client's own.
fn access(config: &str) -> Option<Access> {
    let value = |name: &str| {
        config.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    Some(Access {
        private_key: Some(value("PrivateKey")?),
        public_key: value("PublicKey")?,
        preshared_key: Some(value("PresharedKey")?),
        endpoint: value("Endpoint")?,
        addresses: value("Address")?
            .split(',')
            .map(|address| address.trim().to_owned())
            .collect(),
    })
}

/// The node's word for how it is: "ok" once it has its certificate and is counted.
fn health() -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&HEALTH, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: node\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, word) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    Ok(word.trim().to_owned())
}

fn await_that(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !holds() {
        signals::check()?;
        ensure!(started.elapsed() < LIMIT, "in vain: {what}");
        thread::sleep(LOOK);
    }
    Ok(())
}

fn node_settings(ca: &str, secret: &str, token_keys: [&str; 2]) -> String {
    format!(
        r#"name = "{NODE_NAME}"
serial = 1
dns = ["192.0.2.80"]

[uplink]
interface = "{UPLINK}"

[wireguard]
port = 51820
addresses = ["{}", "{}"]
mtu = 1420
persistent_keepalive = 25

[enrolment]
port = 443

[operator]
healthz = "{HEALTH}"

[pools.default]
ipv4 = "10.64.0.0/16"
ipv6 = "fd00:64::/64"

[pools.streaming]
ipv4 = "10.65.0.0/16"

[tokens]
keys = {token_keys:?}

[accounts]
address = "{ACCOUNTS}"
tls_name = "{ACCOUNTS_NAME}"
secret = "{secret}"
ca = """
{ca}"""

[privilege]
uid = 65532
gid = 65532

[lockdown]
landlock_abi = 3
"#,
        SERVER.0, SERVER.1
    )
}
