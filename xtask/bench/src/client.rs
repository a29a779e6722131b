//! Stock clients: one interface and one process each, all in one namespace.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::namespace::Namespace;
use mayfly_host::process::{self, Job};
use mayfly_host::signals;

use super::plan::Setup;
use super::testbed::{Testbed, internet};

const LIMIT: Duration = Duration::from_secs(30);
/// How long a server may take to learn a hundred thousand peers.
const CONFIGURED: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_millis(20);
/// Largest inner packet, in bytes.
pub(crate) const MTU: u16 = 1420;

/// One device.
pub(crate) struct Client {
    /// Its interface.
    pub interface: String,
    /// Base64.
    pub private_key: String,
    /// Base64.
    pub public_key: String,
    job: Job,
}

/// All devices.
pub(crate) struct Clients(Vec<Client>);

/// What a client needs to connect to the server.
pub(crate) struct Access {
    /// A private key that replaces the client's own, base64.
    pub private_key: Option<String>,
    /// The server's public key, base64.
    pub public_key: String,
    /// Base64.
    pub preshared_key: Option<String>,
    /// `ADDRESS:PORT` of the server.
    pub endpoint: String,
    /// The client's inner addresses.
    pub addresses: Vec<String>,
}

impl Clients {
    /// Starts them, with keys.
    ///
    /// # Errors
    /// One does not start.
    pub(crate) fn start(testbed: &Testbed, program: &Path, count: usize) -> Result<Self> {
        (0..count)
            .map(|number| Client::start(testbed, program, number))
            .collect::<Result<_>>()
            .map(Self)
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Client> {
        self.0.iter()
    }

    /// CPU seconds of all so far.
    pub(crate) fn cpu(&self) -> f64 {
        let cpu = |client: &Client| mayfly_host::cpu::of_process(client.job.id());
        self.0.iter().map(cpu).sum()
    }

    /// Brings up all tunnels, and returns when each has carried an echo.
    ///
    /// # Errors
    /// One does not.
    pub(crate) fn connect(&self, testbed: &Testbed, access: &[Access], setup: Setup) -> Result<()> {
        for (client, access) in self.0.iter().zip(access) {
            client.configure(testbed, access)?;
        }
        for client in &self.0 {
            client.await_echo(testbed, setup)?;
        }
        Ok(())
    }
}

impl Client {
    fn start(testbed: &Testbed, program: &Path, number: usize) -> Result<Self> {
        let interface = format!("{}c{number}", testbed.tag.interface());
        let job = start_userspace(testbed, &testbed.client, program, &interface, &[])?;
        let (private_key, public_key) = key_pair(testbed)?;
        Ok(Self {
            interface,
            private_key,
            public_key,
            job,
        })
    }

    fn configure(&self, testbed: &Testbed, access: &Access) -> Result<()> {
        let mut config = format!(
            "[Interface]\nPrivateKey = {}\n[Peer]\nPublicKey = {}\nEndpoint = {}\n\
             AllowedIPs = 0.0.0.0/0, ::/0\nPersistentKeepalive = 25\n",
            access.private_key.as_ref().unwrap_or(&self.private_key),
            access.public_key,
            access.endpoint
        );
        if let Some(key) = &access.preshared_key {
            config.push_str(&format!("PresharedKey = {key}\n"));
        }
        let interface = &self.interface;
        set_config(testbed, &testbed.client, interface, &config)?;
        for address in &access.addresses {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            testbed
                .client
                .ip(&format!("address add {address} dev {interface}{nodad}"))?;
        }
        testbed
            .client
            .ip(&format!("link set {interface} mtu {MTU} up"))?;
        // Only programs that are bound to the interface use these routes; each has its own metric.
        let metric = 1000 + self.number();
        for v6 in [false, true] {
            if access.addresses.iter().any(|own| own.contains(':') == v6) {
                let to = internet(v6);
                let bits = if v6 { 128 } else { 32 };
                let family = if v6 { "-6 " } else { "" };
                testbed.client.ip(&format!(
                    "{family}route add {to}/{bits} dev {interface} metric {metric}"
                ))?;
            }
        }
        Ok(())
    }

    fn number(&self) -> usize {
        let number = self.interface.rsplit_once('c');
        number
            .and_then(|(_, number)| number.parse().ok())
            .unwrap_or(0)
    }

    fn await_echo(&self, testbed: &Testbed, setup: Setup) -> Result<()> {
        let started = Instant::now();
        let to = internet(setup.v6).to_string();
        loop {
            let words = [
                "ping",
                "-q",
                "-c",
                "1",
                "-W",
                "1",
                "-I",
                &self.interface,
                &to,
            ];
            if process::output(&mut testbed.client.command(words), "ping", LIMIT).is_ok() {
                return Ok(());
            }
            signals::check()?;
            ensure!(started.elapsed() < LIMIT, "no echo through the tunnel");
        }
    }
}

/// Starts a userspace WireGuard and waits until `wg` can speak to it.
///
/// # Errors
/// It ends, or does not listen.
pub(crate) fn start_userspace(
    testbed: &Testbed,
    namespace: &Namespace,
    program: &Path,
    interface: &str,
    before: &[&str],
) -> Result<Job> {
    let socket = format!("/var/run/wireguard/{interface}.sock");
    // A killed one may have left its socket.
    let _ = fs::remove_file(&socket);
    let mut command = namespace.command(before.iter().copied());
    command
        .arg(program)
        .args(["-f", interface])
        .env("WG_PROCESS_FOREGROUND", "1")
        .env("LOG_LEVEL", "error")
        .env("WG_LOG_LEVEL", "error")
        .env("WG_SUDO", "true");
    let path = testbed.file(&format!("{interface}.log"));
    let log = fs::File::create(&path)?;
    command.stdout(log.try_clone()?).stderr(log);
    let mut job = Job::start(&mut command, &program.display().to_string())?;
    let started = Instant::now();
    // Not with `wg show`: it removes a socket that is bound and does not listen yet.
    while UnixStream::connect(&socket).is_err() {
        job.still_runs().with_context(|| last_words(&path))?;
        signals::check()?;
        ensure!(started.elapsed() < LIMIT, "it does not listen to wg");
        thread::sleep(LOOK);
    }
    Ok(job)
}

/// Why a program has ended, and what helps if that is known.
fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().last().unwrap_or("no reason given");
    if last.contains("too many open files") {
        // wireguard-go watches its socket; a hundred clients come near the usual limit of 128.
        return format!("{last}: raise fs.inotify.max_user_instances with sysctl -w");
    }
    last.to_owned()
}

/// A new private key and its public one, base64.
///
/// # Errors
/// wg fails.
pub(crate) fn key_pair(testbed: &Testbed) -> Result<(String, String)> {
    let private_key = process::output(&mut process::command(["wg", "genkey"]), "wg", LIMIT)?;
    let file = testbed.file("private.key");
    fs::write(&file, &private_key).context("cannot write a key")?;
    let mut pubkey = process::command(["sh", "-c", "wg pubkey < \"$0\""]);
    let public_key = process::output(pubkey.arg(&file), "wg", LIMIT)?;
    Ok((private_key.trim().to_owned(), public_key.trim().to_owned()))
}

/// Gives the interface this config and no other.
///
/// # Errors
/// `wg setconf` fails.
pub(crate) fn set_config(
    testbed: &Testbed,
    namespace: &Namespace,
    interface: &str,
    config: &str,
) -> Result<()> {
    configure(testbed, namespace, "setconf", interface, config)
}

/// Adds this config to the interface.
///
/// # Errors
/// `wg addconf` fails.
pub(crate) fn add_config(
    testbed: &Testbed,
    namespace: &Namespace,
    interface: &str,
    config: &str,
) -> Result<()> {
    configure(testbed, namespace, "addconf", interface, config)
}

fn configure(
    testbed: &Testbed,
    namespace: &Namespace,
    verb: &str,
    interface: &str,
    config: &str,
) -> Result<()> {
    let file = testbed.file("wg.conf");
    fs::write(&file, config).context("cannot write a config")?;
    let mut command = namespace.command(["wg", verb, interface]);
    process::output(command.arg(&file), "wg", CONFIGURED).map(|_| ())
}
