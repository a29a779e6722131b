//! `target/run/report.json`: what was measured, and what did not hold.

use std::fs;
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::teardown;
use mayfly_image::{Image, Profile};
use mayfly_lab::network;
use mayfly_lab::qemu::Accelerator;
use serde::Serialize;

/// The whole file. A number that was not measured is null.
#[derive(Debug, Serialize)]
pub struct Report {
    schema: u32,
    commit: String,
    /// Everything held and nothing is left.
    pub ok: bool,
    /// What did not hold, one sentence each.
    pub failures: Vec<String>,
    /// The profile of the image.
    pub profile: &'static str,
    /// What ran the guest.
    pub accelerator: Option<Accelerator>,
    /// QEMU's start to the first 200 of `POST /v1/peers`.
    pub boot_ms: Option<u64>,
    /// Initiation to response, on the customer's link.
    pub handshake_ms: Option<f64>,
    /// The page that came through the tunnel is the one that was sent.
    pub tunnel_ok: bool,
    /// The first visitor of the internet's web server.
    pub internet_saw: Option<IpAddr>,
    /// The node's own address.
    pub node_egress: IpAddr,
    /// The customer's own address.
    pub customer_address: IpAddr,
    /// What the counter showed.
    pub devices: Vec<Devices>,
    image_bytes: ImageBytes,
    /// Every path in the image that can be executed.
    pub executables: Vec<String>,
    guest_mem_mib: u32,
    /// What could not be removed.
    pub left_behind: Vec<String>,
}

/// What the customer does while `devices` is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Enrolled, not yet connected.
    Start,
    /// The tunnel is brought up.
    Connect,
    /// The enrolment is released.
    Release,
    /// The tunnel of a second enrolment is brought up.
    Connect2,
    /// The client is killed and tells nothing.
    Silence,
}

impl Phase {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "enrolled, not connected",
            Self::Connect => "connected",
            Self::Release => "released",
            Self::Connect2 => "connected again",
            Self::Silence => "after 180 s of silence",
        }
    }
}

/// One look at the counter.
#[derive(Debug, Serialize)]
pub struct Devices {
    /// What the customer had done.
    pub phase: Phase,
    /// The value that was waited for, or null if it did not come.
    pub value: Option<u8>,
    /// From what the customer did to the first look that showed the value.
    after_ms: u64,
}

#[derive(Debug, Default, Serialize)]
struct ImageBytes {
    /// mayfly.efi
    file: u64,
    /// The packed initramfs, which is a part of it.
    initramfs: u64,
}

impl Report {
    /// A report of nothing yet.
    ///
    /// # Errors
    /// git does not say which commit this is.
    pub fn new(profile: Profile) -> Result<Self> {
        Ok(Self {
            schema: 2,
            commit: mayfly_host::commit()?,
            ok: false,
            failures: Vec::new(),
            profile: profile.name(),
            accelerator: None,
            boot_ms: None,
            handshake_ms: None,
            tunnel_ok: false,
            internet_saw: None,
            node_egress: network::NODE.into(),
            customer_address: network::CUSTOMER.into(),
            devices: Vec::new(),
            image_bytes: ImageBytes::default(),
            executables: Vec::new(),
            guest_mem_mib: network::GUEST_MIB,
            left_behind: Vec::new(),
        })
    }

    /// What the image is made of.
    pub fn image(&mut self, image: &Image) {
        self.image_bytes = ImageBytes {
            file: image.file_bytes,
            initramfs: image.initramfs_bytes,
        };
        self.executables.clone_from(&image.executables);
    }

    /// Records whom the internet saw.
    pub fn saw(&mut self, visitors: &[IpAddr]) {
        self.internet_saw = visitors.first().copied();
        if visitors.iter().any(|visitor| *visitor != self.node_egress) {
            self.fail("the internet saw another address than the node's");
        }
    }

    /// Records one look at the counter: the value that was waited for, if it came.
    pub fn devices(&mut self, phase: Phase, value: Option<u8>, after_ms: u64) {
        self.devices.push(Devices {
            phase,
            value,
            after_ms,
        });
    }

    /// Records packets of the customer beside the tunnel.
    pub fn leaks(&mut self, leaks: Vec<String>) {
        for leak in leaks {
            self.fail(&format!("left the customer beside the tunnel: {leak}"));
        }
    }

    /// Something did not hold.
    pub fn fail(&mut self, what: &str) {
        self.failures.push(what.to_owned());
    }

    /// Checks what must have been seen, once everything was shown.
    pub fn check(&mut self) {
        if !self.tunnel_ok {
            self.fail("the page that came is not the page sent");
        } else if self.handshake_ms.is_none() {
            self.fail("no handshake was seen");
        }
    }

    /// The last entries: what is left, and whether everything held.
    pub fn finish(&mut self, left_behind: Vec<String>) {
        for thing in &left_behind {
            self.fail(&format!("left behind: {thing}"));
        }
        self.left_behind = left_behind;
        self.ok = self.failures.is_empty();
    }

    /// The result of the command that made this report.
    ///
    /// # Errors
    /// Something did not hold.
    pub fn verdict(&self) -> Result<()> {
        ensure!(self.ok, "{}", self.failures.join("; "));
        Ok(())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<()> {
        let path = teardown::runs().join("report.json");
        let text = serde_json::to_string_pretty(self)?;
        fs::write(path, text + "\n").context("cannot write the report")
    }
}
