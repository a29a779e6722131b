//! The services of a boot network: DHCP and TFTP by `image/dnsmasq.conf`, and a web server.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::process::Job;
use mayfly_host::tree;
use mayfly_lab::network::{Lab, OPERATOR, TAP};

use super::way::{Source, Way};

/// The web server's port in `image/dnsmasq.conf`.
const FILES_PORT: u16 = 8081;
const LOOK: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(20);

/// The services. They end when this is dropped.
pub(crate) struct Services {
    _dhcp: Job,
    _web: Job,
}

impl Services {
    /// Starts them for a boot by `way`, with the files of `directory`.
    ///
    /// # Errors
    /// A program is missing or does not start.
    pub(crate) fn start(lab: &Lab, way: Way, directory: &Path) -> Result<Self> {
        let config = lab.file("dnsmasq.conf");
        fs::write(&config, settings(way)?).context("cannot write dnsmasq's settings")?;
        let mut dnsmasq = lab.hub.command(["dnsmasq", "--keep-in-foreground"]);
        dnsmasq
            .arg(format!("--conf-file={}", config.display()))
            .arg(format!("--interface={TAP}"))
            .arg(format!("--tftp-root={}", directory.display()))
            .args(["--user=root", "--log-facility"])
            .arg(lab.file("dnsmasq.log"))
            .arg("--pid-file");
        let mut web = lab.hub.command(["python3", "-m", "http.server"]);
        web.arg(FILES_PORT.to_string())
            .arg("--bind")
            .arg(OPERATOR.to_string())
            .arg("--directory")
            .arg(directory)
            .stdout(fs::File::create(lab.file("web.log"))?)
            .stderr(fs::File::create(lab.file("web.errors"))?);
        let services = Self {
            _dhcp: Job::start(&mut dnsmasq, "dnsmasq")?,
            _web: Job::start(&mut web, "a web server")?,
        };
        let started = Instant::now();
        while lab
            .hub
            .inside(|| Ok(TcpStream::connect((OPERATOR, FILES_PORT))?))
            .is_err()
        {
            ensure!(started.elapsed() < LIMIT, "the web server does not listen");
            thread::sleep(LOOK);
        }
        Ok(services)
    }
}

/// The operator's example, with the change that some ways test.
fn settings(way: Way) -> Result<String> {
    let file = tree().join("image/dnsmasq.conf");
    let text = fs::read_to_string(file).context("cannot read image/dnsmasq.conf")?;
    Ok(match (way, way.source()) {
        (Way::BiosIpxeTftp, _) => text.replace("http://192.0.2.1:8081/boot.ipxe", "boot.ipxe"),
        (_, Source::Memory { .. } | Source::Iso | Source::Net(_)) => text,
    })
}
