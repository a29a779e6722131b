//! The machine of a boot: its firmware, and where it finds the image.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use mayfly_lab::guest::Guest;
use mayfly_lab::network::Lab;
use mayfly_lab::qemu::{self, Accelerator};

use super::images::Images;
use super::tpm::Tpm;
use super::variables;
use super::way::{Firmware, Source, Way};

/// The MAC address of the machine in `image/dnsmasq.conf`.
pub(crate) const MAC: &str = "52:54:00:12:34:56";

const OVMF: &str = "/usr/share/OVMF";
/// The command line of a hostile loader: another init, and other settings.
const HOSTILE: &str = "rdinit=/evil init=/evil nokaslr mem=40M panic=0 \
    mayfly.bundle=http://192.0.2.1:9/evil";

/// A machine that has been switched on.
pub(crate) struct Machine {
    /// The guest.
    pub guest: Guest,
    /// What firmware printed.
    pub serial: PathBuf,
    /// UEFI's variables.
    pub variables: PathBuf,
}

impl Machine {
    /// Switches it on. It has `memory` MiB.
    ///
    /// # Errors
    /// QEMU does not start.
    pub(crate) fn start(
        lab: &Lab,
        way: Way,
        memory: u32,
        images: &Images,
        tpm: Option<&Tpm>,
    ) -> Result<Self> {
        let (serial, variables) = (lab.file("serial.log"), lab.file("variables"));
        let machine = qemu::Machine::on_tap(memory)
            .serial_to(&serial)
            .with(["-rtc".to_owned(), format!("base={},clock=vm", way.clock())]);
        let machine = firmware(machine, way, images, &variables)?
            .with(source(way, images, lab)?)
            .with(tpm.map(Tpm::words).unwrap_or_default());
        Ok(Self {
            guest: Guest::start(lab, &machine, Accelerator::Tcg)?,
            serial,
            variables,
        })
    }
}

fn firmware(
    machine: qemu::Machine,
    way: Way,
    images: &Images,
    variables: &Path,
) -> Result<qemu::Machine> {
    let blank = format!("{OVMF}/OVMF_VARS_4M.fd");
    let code = match way.firmware() {
        Firmware::Bios => return Ok(machine),
        Firmware::Uefi => "OVMF_CODE_4M.fd",
        Firmware::SecureBoot => "OVMF_CODE_4M.secboot.fd",
    };
    fs::copy(&blank, variables).with_context(|| format!("cannot copy {blank}"))?;
    let mut machine = machine;
    if way.firmware() == Firmware::SecureBoot {
        variables::enrol(variables, &images.keys)?;
        machine = machine.chipset("smm=on").with([
            "-global",
            "driver=cfi.pflash01,property=secure,value=on",
            "-global",
            "ICH9-LPC.disable_s3=1",
        ]);
    }
    machine = machine.with([
        "-drive".to_owned(),
        format!("if=pflash,format=raw,unit=0,readonly=on,file={OVMF}/{code}"),
        "-drive".to_owned(),
        format!("if=pflash,format=raw,unit=1,file={}", variables.display()),
    ]);
    // The firmware would try four ways over the network. This leaves the one that is tested.
    for (name, on) in [
        ("IPv4PXESupport", way == Way::UefiPxe),
        ("IPv6PXESupport", false),
        ("IPv6Support", false),
    ] {
        let answer = if on { "yes" } else { "no" };
        let setting = format!("name=opt/org.tianocore/{name},string={answer}");
        machine = machine.with(["-fw_cfg", &setting]);
    }
    Ok(machine)
}

fn source(way: Way, images: &Images, lab: &Lab) -> Result<Vec<String>> {
    let directory = images.directory(way);
    let file = |name: &str| directory.join(name).display().to_string();
    let nic = |model: &str, more: &str| {
        words(&["-device", &format!("{model},netdev=net,mac={MAC}{more}")])
    };
    Ok(match way.source() {
        // Without a ROM, UEFI boots from the card by itself. The ROM is an iPXE for a BIOS.
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
