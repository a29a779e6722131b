//! The ways to start a node, as a table.

use clap::ValueEnum;

/// One boot, named after what it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Way {
    /// A loader's initrd and command line beside the image, and a clock that is 25 years slow
    Hostile,
    /// A clock that is eleven years fast
    ClockFast,
    /// BIOS, iPXE in the NIC, script and image by TFTP
    BiosIpxeTftp,
    /// BIOS, iPXE in the NIC, script and image by HTTP
    BiosIpxeHttp,
    /// BIOS, the ISO, with no use of an iPXE in the NIC's ROM
    BiosIso,
    /// UEFI, the ISO
    UefiIso,
    /// UEFI's own PXE, the image by TFTP
    UefiPxe,
    /// UEFI's own HTTP boot, with a TPM that measures it
    UefiHttpMeasured,
    /// Secure Boot with the operator's keys and no others, by HTTP
    SecureBoot,
    /// Secure Boot, with a loader's initrd and command line beside the signed image
    SecureBootHostile,
    /// Secure Boot, and one bit of the signed kernel is changed
    TamperedKernel,
    /// Secure Boot, and the signature belongs to an image with another initramfs
    TamperedInitramfs,
    /// Secure Boot, and the signature belongs to an image with another command line
    TamperedCommandLine,
    /// Settings that a stranger signed, on UEFI: a refusal, a beacon, a panic, a restart
    StrangersSettings,
}

/// What starts the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF, with its default variables.
    Uefi,
    /// OVMF with the test set's keys enrolled.
    SecureBoot,
}

/// Where it finds the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// QEMU puts it into memory, as a loader does.
    Memory {
        /// With an initrd and a command line that would change everything.
        hostile: bool,
    },
    /// A NIC of this model, which boots from the network.
    Net(&'static str),
    /// A CD.
    Iso,
}

/// What has to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A customer gets a page through the tunnel.
    Tunnel,
    /// The firmware refuses the image.
    Refused,
    /// init refuses the settings, says so, and the machine restarts.
    Restart,
}

impl Way {
    /// What starts the machine.
    pub fn firmware(self) -> Firmware {
        match self {
            Self::Hostile
            | Self::ClockFast
            | Self::BiosIpxeTftp
            | Self::BiosIpxeHttp
            | Self::BiosIso => Firmware::Bios,
            Self::UefiIso | Self::UefiPxe | Self::UefiHttpMeasured | Self::StrangersSettings => {
                Firmware::Uefi
            }
            Self::SecureBoot
            | Self::SecureBootHostile
            | Self::TamperedKernel
            | Self::TamperedInitramfs
            | Self::TamperedCommandLine => Firmware::SecureBoot,
        }
    }

    /// Where it finds the image.
    pub fn source(self) -> Source {
        match self {
            Self::Hostile | Self::SecureBootHostile => Source::Memory { hostile: true },
            Self::ClockFast => Source::Memory { hostile: false },
            Self::BiosIpxeTftp => Source::Net("e1000e"),
            Self::BiosIpxeHttp => Source::Net("vmxnet3"),
            Self::BiosIso | Self::UefiIso => Source::Iso,
            Self::UefiPxe
            | Self::UefiHttpMeasured
            | Self::SecureBoot
            | Self::TamperedKernel
            | Self::TamperedInitramfs
            | Self::TamperedCommandLine
            | Self::StrangersSettings => Source::Net("virtio-net-pci"),
        }
    }

    /// What has to happen.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::TamperedKernel | Self::TamperedInitramfs | Self::TamperedCommandLine => {
                Outcome::Refused
            }
            Self::StrangersSettings => Outcome::Restart,
            _ => Outcome::Tunnel,
        }
    }

    /// Whether the machine has a TPM.
    pub fn measured(self) -> bool {
        self == Self::UefiHttpMeasured
    }

    /// The machine's first time, in QEMU's format.
    pub fn clock(self) -> &'static str {
        match self {
            Self::Hostile => "2001-01-01T00:00:00",
            Self::ClockFast => "2037-12-31T00:00:00",
            _ => "utc",
        }
    }

    /// Memory in MiB. UEFI needs more than the node does.
    pub fn memory(self) -> u32 {
        match self.firmware() {
            Firmware::Bios => 128,
            Firmware::Uefi | Firmware::SecureBoot => 256,
        }
    }

    /// The label of its lab. It is short, since it is a part of an interface's name.
    pub fn label(self) -> String {
        format!("w{}", self as u8)
    }

    /// The name on the command line and in the report.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// A short description.
    pub fn about(self) -> String {
        self.to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string))
            .unwrap_or_default()
    }
}
