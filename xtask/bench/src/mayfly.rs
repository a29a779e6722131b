//! What Mayfly needs to be measured: an account service with accounts, settings, enrolments.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::cargo::program;
use mayfly_host::process::{self, Job};
use mayfly_host::signals;
use mayfly_lab::healthz::healthz;
use mayfly_lab::settings::{self, ACCOUNTS_NAME, NODE_NAME};

use super::client::{Access, Client};
use super::enrol::{Mint, Node};
use super::plan::Setup;
use super::testbed::{CLIENT, INTERNET, SERVER, Testbed, UPLINK};

const ACCOUNTS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(CLIENT), 8443);
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// The limit of devices for an account.
const DEVICES: usize = 4;

/// The account service and its files.
pub(crate) struct Mayfly {
    config: PathBuf,
    settings: PathBuf,
    ca: PathBuf,
    mint: Mint,
    /// None once it has been ended.
    service: Option<Job>,
}

impl Mayfly {
    /// Starts the account service in the clients' namespace, and writes the node's settings.
    ///
    /// # Errors
    /// A command fails.
    pub(crate) fn prepare(testbed: &Testbed) -> Result<Self> {
        let data = testbed.file("accounts");
        let _ = fs::remove_dir_all(&data);
        let config = testbed.file("accounts.toml");
        let limits = [("tokens", 100), ("failures", 1000)];
        let text = settings::accounts(ACCOUNTS, &data, &limits);
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
        let node = testbed.file("node.toml");
        let mint = Mint::new()?;
        let text = settings::Node {
            addresses: SERVER,
            uplink: format!("interface = \"{UPLINK}\""),
            resolver: INTERNET.0,
            streaming: Some("10.65.0.0/16"),
            token_keys: &[token_key.trim(), &mint.public_key()],
            accounts: ACCOUNTS,
            secret: secret.trim(),
            ca: &authority,
            // It runs on this machine's kernel, which can be older than the image's.
            landlock_abi: 3,
        }
        .text();
        fs::write(&node, text).context("cannot write settings")?;
        let mut serve = testbed.client.command([]);
        serve
            .arg(program("mayfly-accounts"))
            .args(["serve", "--config"])
            .arg(&config);
        let service = Job::start(&mut serve, "mayfly-accounts")?;
        let connect = || Ok(TcpStream::connect(ACCOUNTS)?);
        await_that("the account service listens", || {
            testbed.client.inside(connect).is_ok()
        })?;
        Ok(Self {
            config,
            settings: node,
            ca,
            mint,
            service: Some(service),
        })
    }

    /// Ends the account service.
    pub(crate) fn lose_accounts(&mut self) {
        self.service = None;
    }

    /// Starts the node, and returns when it takes clients.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn start(&mut self, testbed: &Testbed, command: &mut Command) -> Result<Job> {
        command.arg("--config").arg(&self.settings);
        let mut job = Job::start(command, "mayfly-node")?;
        await_that("the node takes clients", || {
            job.still_runs().is_ok()
                && testbed
                    .client
                    .inside(|| healthz(SERVER.0))
                    .is_ok_and(|word| word == "ok")
        })?;
        Ok(job)
    }

    /// Enrols a client as `mayfly enrol` does, with the key that it makes.
    ///
    /// # Errors
    /// It fails.
    pub(crate) fn enrol(
        &self,
        testbed: &Testbed,
        number: usize,
        client: &Client,
        setup: Setup,
    ) -> Result<Access> {
        let user = format!("user{}", number / DEVICES);
        let password = testbed.file(&format!("{user}.password"));
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
        let out = testbed.file(&format!("{}.conf", client.interface));
        let _ = fs::remove_file(&out);
        let node = if setup.v6 {
            format!("{NODE_NAME}@[{}]:443", SERVER.1)
        } else {
            format!("{NODE_NAME}@{}:443", SERVER.0)
        };
        let mut enrol = testbed.client.command([]);
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

    /// Enrols many keys at once, under tokens that an operator's own key signs. `before` of them
    /// were used already.
    ///
    /// # Errors
    /// The node refuses one.
    pub(crate) fn enrol_all(
        &self,
        testbed: &Testbed,
        before: usize,
        keys: &[&str],
    ) -> Result<Vec<Access>> {
        let ca = fs::read(&self.ca).context("mayfly-accounts left no ca.pem")?;
        let node = Node::new((SERVER.0, 443).into(), NODE_NAME, &ca)?;
        testbed
            .client
            .inside(|| node.enrol(&self.mint, before, keys))
    }
}

/// Reads a wg-quick file. Its private key replaces the client's own.
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

fn await_that(what: &str, mut holds: impl FnMut() -> bool) -> Result<()> {
    let started = Instant::now();
    while !holds() {
        signals::check()?;
        ensure!(
            started.elapsed() < LIMIT,
            "{what}: not within {} s",
            LIMIT.as_secs()
        );
        thread::sleep(LOOK);
    }
    Ok(())
}
