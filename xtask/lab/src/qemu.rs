//! QEMU's command line: every guest of every verb is described here.

use std::fs::OpenOptions;
use std::path::Path;

use mayfly_host::teardown;
use mayfly_image::{Image, Profile};
use serde::{Deserialize, Serialize};

use crate::network::{GUEST_MIB, TAP};

/// QEMU itself.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// A network card that has no firmware of its own to boot from.
const PLAIN_CARD: &str = "virtio-net-pci,netdev=net,romfile=";

/// What runs a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Accelerator {
    /// Whether this machine offers it. KVM opens on some machines that cannot run a guest.
    pub fn is_there(self) -> bool {
        let mut device = OpenOptions::new();
        self == Self::Tcg || device.read(true).write(true).open("/dev/kvm").is_ok()
    }

    fn words(self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

/// A machine that is not switched on. It has memory, one network and what was asked for: no
/// display, no monitor, no disk.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What `-machine` says: the chipset, and properties of it.
    chipset: String,
    memory_mib: u32,
    network: String,
    serial: String,
    reboot: &'static str,
    more: Vec<String>,
}

impl Machine {
    /// A machine on the lab's TAP device, without a network card.
    pub fn on_tap(memory_mib: u32) -> Self {
        Self::on(
            memory_mib,
            format!("tap,id=net,ifname={TAP},script=no,downscript=no,vhost=off"),
        )
    }

    /// A machine on a network that QEMU plays, in which 10.0.2.2 is this machine's loopback.
    pub fn on_user_network(memory_mib: u32) -> Self {
        Self::on(memory_mib, "user,id=net,restrict=off".to_owned()).with(["-device", PLAIN_CARD])
    }

    /// The node of a lab: it starts `image`, as a loader does. The kernel log of the profile
    /// `dev` goes to target/run/console.log.
    pub fn node(image: &Image) -> Self {
        let machine = Self::on_tap(GUEST_MIB)
            .with(["-device", PLAIN_CARD])
            .kernel(&image.file);
        match image.profile {
            Profile::Dev => machine.serial_to(&teardown::runs().join("console.log")),
            Profile::Sealed | Profile::Attack | Profile::Mortal => machine,
        }
    }

    fn on(memory_mib: u32, network: String) -> Self {
        Self {
            chipset: "q35".to_owned(),
            memory_mib,
            network,
            serial: "none".to_owned(),
            // A panic restarts the machine (panic=-1), and that ends QEMU.
            reboot: "reboot=shutdown",
            more: Vec::new(),
        }
    }

    /// Starts a kernel, as a loader does.
    pub fn kernel(self, file: &Path) -> Self {
        self.with(["-kernel", &file.display().to_string()])
    }

    /// Writes down what comes out of the serial port.
    pub fn serial_to(mut self, file: &Path) -> Self {
        self.serial = format!("file:{}", file.display());
        self
    }

    /// Keeps RAM in a file, which others can read while the guest runs.
    pub fn ram_in(self, file: &Path) -> Self {
        let (size, file) = (self.memory_mib, file.display());
        let object = format!("memory-backend-file,id=ram,size={size}M,share=on,mem-path={file}");
        self.chipset("memory-backend=ram")
            .with(["-object", &object])
    }

    /// Has other memory, allocated before the start: QEMU does not allocate it while the guest
    /// runs.
    pub fn ready_memory(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        let object = format!("memory-backend-ram,id=ram,size={memory_mib}M,prealloc=on");
        self.chipset("memory-backend=ram")
            .with(["-object", &object])
    }

    /// One more property of the chipset.
    pub fn chipset(mut self, property: &str) -> Self {
        self.chipset = format!("{},{property}", self.chipset);
        self
    }

    /// Lets the guest restart. Otherwise a restart ends QEMU.
    pub fn restarting(mut self) -> Self {
        self.reboot = "reboot=reset";
        self
    }

    /// More words, as QEMU takes them.
    pub fn with<T: Into<String>>(mut self, words: impl IntoIterator<Item = T>) -> Self {
        self.more.extend(words.into_iter().map(Into::into));
        self
    }

    /// All words for QEMU.
    pub fn words(&self, accelerator: Accelerator) -> Vec<String> {
        let memory = self.memory_mib.to_string();
        let common = [
            "-nodefaults",
            "-display",
            "none",
            "-monitor",
            "none",
            "-machine",
            &self.chipset,
            "-m",
            &memory,
            "-action",
            self.reboot,
            "-serial",
            &self.serial,
            "-netdev",
            &self.network,
        ];
        let words = common.into_iter().chain(accelerator.words());
        words
            .map(str::to_owned)
            .chain(self.more.iter().cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_others_read_is_the_memory_of_the_machine() {
        let machine = Machine::on_tap(192).ram_in(Path::new("/ram"));
        let words = machine.words(Accelerator::Tcg).join(" ");
        assert!(words.contains("-machine q35,memory-backend=ram"), "{words}");
        assert!(
            words.contains("-m 192 ") && words.contains("size=192M"),
            "{words}"
        );
    }
}
