//! QEMU's words for a machine that boots in a certain way.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use mayfly_host::process::Job;
use mayfly_lab::guest::Accelerator;
use mayfly_lab::guest::Guest;
use mayfly_lab::network::{Lab, TAP};

use super::images::Images;
use super::tpm::Tpm;
use super::variables;
use super::way::{Firmware, Source, Way};

/// Of the machine that `image/dnsmasq.conf` knows.
pub const MAC: &str = "52:54:00:12:34:56";

const OVMF: &str = "/usr/share/OVMF";
/// What a hostile loader says: another init, and where it would get its orders.
const HOSTILE: &str = "rdinit=/evil init=/evil nokaslr mem=40M panic=0 \
    mayfly.bundle=http://192.0.2.1:9/evil";

/// A machine that has been switched on.
pub struct Machine {
    /// The guest.
    pub guest: Guest,
    /// What firmware printed.
    pub serial: PathBuf,
    /// UEFI's variables.
    pub variables: PathBuf,
}

impl Machine {
    /// Switches it on, with `memory` MiB.
    ///
    /// # Errors
    /// QEMU does not start.
    pub fn start(
        lab: &Lab,
        way: Way,
        memory: u32,
        images: &Images,
        tpm: Option<&Tpm>,
    ) -> Result<Self> {
        let (serial, variables) = (lab.file("serial.log"), lab.file("variables"));
        let mut command = lab.hub.command(["qemu-system-x86_64", "-nodefaults"]);
        command
            .args(["-accel", "tcg,thread=multi", "-cpu", "max"])
            .args(["-m", &memory.to_string(), "-rtc"])
            .arg(format!("base={},clock=vm", way.clock()))
            .args(["-no-reboot", "-display", "none", "-monitor", "none"])
            .args(["-serial", &format!("file:{}", serial.display())])
            .arg("-netdev")
            .arg(format!(
                "tap,id=net,ifname={TAP},script=no,downscript=no,vhost=off"
            ))
            .args(firmware(way, images, &variables)?)
            .args(source(way, images, lab)?)
            .args(tpm.map(Tpm::words).unwrap_or_default());
        let complaints = lab.file("qemu.log");
        command.stderr(File::create(&complaints).context("cannot write QEMU's log")?);
        let started = Instant::now();
        let job = Job::start(&mut command, "QEMU")?;
        Ok(Self {
            guest: Guest::started_as(job, Accelerator::Tcg, started, complaints),
            serial,
            variables,
        })
    }
}

fn firmware(way: Way, images: &Images, variables: &Path) -> Result<Vec<String>> {
    let blank = format!("{OVMF}/OVMF_VARS_4M.fd");
    let (machine, code) = match way.firmware() {
        Firmware::Bios => return Ok(words(&["-machine", "q35"])),
        Firmware::Uefi => ("q35", "OVMF_CODE_4M.fd"),
        Firmware::SecureBoot => ("q35,smm=on", "OVMF_CODE_4M.secboot.fd"),
    };
    fs::copy(&blank, variables).with_context(|| format!("cannot copy {blank}"))?;
    if way.firmware() == Firmware::SecureBoot {
        variables::enrol(variables, &images.keys)?;
    }
    let mut all = words(&["-machine", machine]);
    if way.firmware() == Firmware::SecureBoot {
        all.extend(words(&[
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
            "-global",
            "ICH9-LPC.disable_s3=1",
        ]));
    }
    all.extend([
        "-drive".to_owned(),
        format!("if=pflash,format=raw,unit=0,readonly=on,file={OVMF}/{code}"),
        "-drive".to_owned(),
        format!("if=pflash,format=raw,unit=1,file={}", variables.display()),
    ]);
    // Of the four ways that it would try, only the one that is meant.
    for (name, on) in [
        ("IPv4PXESupport", way == Way::UefiPxe),
        ("IPv6PXESupport", false),
        ("IPv6Support", false),
    ] {
        let answer = if on { "yes" } else { "no" };
        all.push("-fw_cfg".to_owned());
        all.push(format!("name=opt/org.tianocore/{name},string={answer}"));
    }
    Ok(all)
}

fn source(way: Way, images: &Images, lab: &Lab) -> Result<Vec<String>> {
    let directory = images.directory(way);
    let file = |name: &str| directory.join(name).display().to_string();
    let nic = |model: &str, more: &str| {
        words(&["-device", &format!("{model},netdev=net,mac={MAC}{more}")])
    };
    Ok(match way.source() {
        // Its own firmware can boot from UEFI; iPXE is for a BIOS.
        Source::Net(model) if way.firmware() != Firmware::Bios => {
            nic(model, ",bootindex=0,romfile=")
        }
        Source::Net(model) => nic(model, ",bootindex=0"),
        Source::Iso => {
            let drive = format!(
                "if=none,id=cd,media=cdrom,readonly=on,file={}",
                file("mayfly.iso")
            );
            let mut all = nic("virtio-net-pci", ",romfile=");
            all.extend(words(&["-drive", &drive]));
            all.extend(words(&["-device", "ide-cd,drive=cd,bootindex=0"]));
            all
        }
        Source::Memory { hostile } => {
            let mut all = nic("virtio-net-pci", ",romfile=");
            all.extend(words(&["-kernel", &file("mayfly.efi")]));
            if hostile {
                let initrd = images.hostile_initrd(&lab.file("hostile.cpio"))?;
                all.extend(words(&["-initrd", &initrd, "-append", HOSTILE]));
            }
            all
        }
    })
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
