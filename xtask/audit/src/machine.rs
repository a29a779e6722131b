//! The guest of an experiment. Its RAM is a file, and a monitor can stop it. It also has a disk and
//! a USB controller for a keyboard, for which a sealed kernel has no driver.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mayfly_host::process;
use mayfly_host::progress::Strand;
use mayfly_image::Image;
use mayfly_lab::guest::Guest;
use mayfly_lab::network::Lab;
use mayfly_lab::operator::Operator;
use mayfly_lab::qemu;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::dump::Dump;
use super::patience::Patience;
use super::qmp::Qmp;
use super::turns::Turns;

/// Size of the disk.
const DISK: u64 = 16 << 20;

/// A disk with a file system, and what is on it.
pub(crate) struct Disk {
    file: PathBuf,
    hash: [u8; 32],
}

impl Disk {
    /// Makes and formats one.
    ///
    /// # Errors
    /// mkfs.ext4 fails.
    pub(crate) fn make(lab: &Lab) -> Result<Self> {
        let file = lab.file("disk");
        File::create(&file)
            .and_then(|disk| disk.set_len(DISK))
            .context("cannot make a disk")?;
        let mut command = process::command(["mkfs.ext4", "-q", "-L", "mayfly"]);
        process::output(command.arg(&file), "mkfs.ext4", Duration::from_secs(60))?;
        Ok(Self {
            hash: hash(&file)?,
            file,
        })
    }

    /// Whether nothing was written to it, by its bytes and by QEMU's counters.
    ///
    /// # Errors
    /// It cannot be read, or QEMU does not say.
    pub(crate) fn is_untouched(&self, qmp: &Qmp) -> Result<bool> {
        let counted = qmp.ask("query-blockstats", json!({}))?;
        let all = counted.as_array().into_iter().flatten();
        let writes = all.filter_map(|disk| disk.pointer("/stats/wr_operations")?.as_u64());
        Ok(writes.sum::<u64>() == 0 && hash(&self.file)? == self.hash)
    }
}

fn hash(file: &Path) -> Result<[u8; 32]> {
    let bytes = fs::read(file).context("cannot read the disk")?;
    Ok(Sha256::digest(bytes).into())
}

/// What is known of a guest that is up.
pub(crate) struct Booted<'a> {
    /// Its RAM.
    pub dump: Dump,
    /// How long it may take for what it does.
    pub patience: Patience,
    /// Who else wants the machine.
    pub turns: &'a Turns,
}

/// Boots the image, and waits until a new customer is counted.
///
/// # Errors
/// It does not come up.
pub(crate) fn boot<'a>(
    strand: Strand,
    lab: &Lab,
    operator: &Operator,
    image: &Image,
    disk: &Disk,
    turns: &'a Turns,
) -> Result<(Guest, Booted<'a>)> {
    let (ram, socket) = (lab.file("ram"), lab.file("qmp"));
    let machine = qemu::Machine::node(image).ram_in(&ram).with([
        "-qmp".to_owned(),
        format!("unix:{},server=on,wait=off", socket.display()),
        "-drive".to_owned(),
        format!("file={},if=none,id=disk,format=raw", disk.file.display()),
        "-device".to_owned(),
        "virtio-blk-pci,drive=disk".to_owned(),
        "-device".to_owned(),
        "qemu-xhci,id=usb".to_owned(),
    ]);
    let turn = turns.take(strand)?;
    let mut guest = strand.step("boot the image", || Guest::boot(lab, operator, &machine))?;
    strand.step("wait until the node takes clients", || {
        guest.await_clients(lab)
    })?;
    let patience = Patience::after(guest.started.elapsed());
    drop(turn);
    strand.step("wait until the account service counts again", || {
        operator.await_counting()
    })?;
    let qmp = Qmp::connect(&socket)?;
    // A restart from inside stops the machine.
    qmp.ask("set-action", json!({ "shutdown": "pause" }))?;
    let booted = Booted {
        dump: Dump::new(ram, qmp),
        patience,
        turns,
    };
    Ok((guest, booted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_another_byte_is_another() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), [0; 512]).unwrap();
        let before = hash(file.path()).unwrap();
        fs::write(file.path(), [1; 512]).unwrap();
        assert_ne!(hash(file.path()).unwrap(), before);
    }
}
