//! The customer: `mayfly`, and a stock WireGuard client.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::cargo;
use mayfly_host::namespace::Namespace;
use mayfly_host::process;

use crate::network::{Lab, PAGE_AT};
use crate::operator::Operator;

/// Limit for each command of the customer.
const LIMIT: Duration = Duration::from_secs(60);

/// wg-quick hands resolvers to resolvconf. A machine without a desktop does not have it, and it
/// would change the resolvers of the whole machine. This one ignores them.
const RESOLVCONF: &str = "#!/bin/sh\ncat > /dev/null\n";

/// Resolvers and addresses that a customer's programs may try in spite of the tunnel's settings.
const STRAY: [&str; 3] = [
    "198.51.100.53:53",
    "[2001:db8:64::2]:53",
    "[2001:db8:64::2]:443",
];

/// One device of the customer.
pub struct Customer<'a> {
    namespace: &'a Namespace,
    operator: &'a Operator,
    interface: String,
    config: PathBuf,
    page: PathBuf,
    path: String,
}

impl<'a> Customer<'a> {
    /// A device that has never enrolled.
    ///
    /// # Errors
    /// The run's directory cannot be written.
    pub fn new(lab: &'a Lab, operator: &'a Operator) -> Result<Self> {
        Self::elsewhere(lab, operator, &lab.customer, "")
    }

    /// The same in another namespace. `word` distinguishes it from the lab's other devices.
    ///
    /// # Errors
    /// As [`Customer::new`].
    pub fn elsewhere(
        lab: &'a Lab,
        operator: &'a Operator,
        namespace: &'a Namespace,
        word: &str,
    ) -> Result<Self> {
        let programs = lab.file("bin");
        fs::create_dir_all(&programs).context("cannot make a directory for the customer")?;
        let resolvconf = programs.join("resolvconf");
        fs::write(&resolvconf, RESOLVCONF).context("cannot write resolvconf")?;
        fs::set_permissions(&resolvconf, fs::Permissions::from_mode(0o755))?;
        let path = std::env::var("PATH").unwrap_or_default();
        let interface = format!("{}{word}", lab.interface());
        Ok(Self {
            namespace,
            operator,
            config: lab.file(&format!("{interface}.conf")),
            interface,
            page: lab.file(&format!("page{word}")),
            path: format!("{}:{path}", programs.display()),
        })
    }

    /// A new key, a new enrolment.
    ///
    /// # Errors
    /// `mayfly enrol` fails.
    pub fn enrol(&self) -> Result<()> {
        let mut command = self.mayfly("enrol");
        command
            .args(self.operator.enrol_words())
            .arg("--out")
            .arg(&self.config);
        process::output(&mut command, "mayfly enrol", LIMIT).map(|_| ())
    }

    /// Takes over an enrolment that something else made, as the text of a wg-quick file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn take(&self, config: &str) -> Result<()> {
        fs::write(&self.config, config).context("cannot write a wg-quick file")
    }

    /// Its interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Ends the enrolment.
    ///
    /// # Errors
    /// `mayfly release` fails.
    pub fn release(&self) -> Result<()> {
        let mut command = self.mayfly("release");
        command.arg("--config").arg(&self.config);
        process::output(&mut command, "mayfly release", LIMIT).map(|_| ())
    }

    /// Brings the tunnel up.
    ///
    /// # Errors
    /// wg-quick fails.
    pub fn up(&self) -> Result<()> {
        self.wg_quick("up")
    }

    /// Takes the tunnel down. The node is not told.
    ///
    /// # Errors
    /// wg-quick fails.
    pub fn down(&self) -> Result<()> {
        self.wg_quick("down")
    }

    /// Kills the client without a word to the node.
    ///
    /// # Errors
    /// Its interface no longer exists.
    pub fn vanish(&self) -> Result<()> {
        self.namespace
            .ip(&format!("link delete {}", self.interface))
    }

    /// Fetches the internet's page.
    ///
    /// # Errors
    /// It does not come.
    pub fn fetch(&self) -> Result<Vec<u8>> {
        let url = format!("http://{PAGE_AT}/");
        let words = [
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
        ];
        let mut command = self.namespace.command(words);
        command
            .args(["--max-time", "30", &url, "--output"])
            .arg(&self.page);
        process::output(&mut command, "curl", LIMIT)?;
        fs::read(&self.page).context("curl left no page")
    }

    /// Sends datagrams that must not be seen outside the tunnel: to resolvers, and over IPv6.
    ///
    /// # Errors
    /// There are no sockets.
    pub fn stray(&self) -> Result<()> {
        self.namespace.inside(|| {
            for target in STRAY {
                let any = if target.starts_with('[') {
                    "[::]:0"
                } else {
                    "0.0.0.0:0"
                };
                // It does not matter whether it is refused or lost: the test looks at the link.
                let _ = UdpSocket::bind(any)?.send_to(b"who is it", target);
            }
            Ok(())
        })
    }

    fn mayfly(&self, verb: &str) -> Command {
        let mayfly = cargo::program("mayfly");
        let mut command = self.namespace.command([]);
        command.arg(mayfly).arg(verb);
        command
    }

    fn wg_quick(&self, verb: &str) -> Result<()> {
        let mut command = self.namespace.command(["wg-quick", verb]);
        command
            .arg(&self.config)
            .env("PATH", &self.path)
            .env("WG_QUICK_USERSPACE_IMPLEMENTATION", "wireguard-go");
        process::output(&mut command, "wg-quick", LIMIT).map(|_| ())
    }
}
