//! A software TPM (swtpm), and its PCRs after the guest has ended.

use std::fs;
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::process::{self, Job};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// Pause between two looks for its socket, and how long the socket may take to appear.
const LOOK: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(20);

/// The TPM. It ends when this is dropped.
pub(crate) struct Tpm {
    control: PathBuf,
    _job: Job,
}

impl Tpm {
    /// Starts one that has never been used.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(directory: &Path) -> Result<Self> {
        fs::create_dir(directory).context("cannot make the TPM's directory")?;
        let control = directory.join("control");
        let mut swtpm = process::command(["swtpm", "socket", "--tpm2", "--tpmstate"]);
        swtpm
            .arg(format!("dir={}", directory.display()))
            .arg("--ctrl")
            .arg(format!("type=unixio,path={}", control.display()));
        let job = Job::start(&mut swtpm, "swtpm")?;
        let started = Instant::now();
        while !control.exists() {
            ensure!(started.elapsed() < LIMIT, "swtpm does not listen");
            thread::sleep(LOOK);
        }
        Ok(Self { control, _job: job })
    }

    /// QEMU's arguments for it.
    pub(crate) fn words(&self) -> Vec<String> {
        let control = self.control.display();
        [
            "-chardev".to_owned(),
            format!("socket,id=tpm,path={control}"),
            "-tpmdev".to_owned(),
            "emulator,id=tpm0,chardev=tpm".to_owned(),
            "-device".to_owned(),
            "tpm-crb,tpmdev=tpm0".to_owned(),
        ]
        .into()
    }

    /// The SHA-256 value of a PCR, in hexadecimal. The guest must have been killed: one that ends by
    /// itself resets the TPM.
    ///
    /// # Errors
    /// The TPM does not answer.
    pub(crate) fn pcr(&self, number: u8) -> Result<String> {
        let mut data = self.connect()?;
        data.write_all(&read_command(number))?;
        let mut answer = [0; 512];
        let length = data.read(&mut answer)?;
        let answer = answer.get(..length).unwrap_or_default();
        ensure!(
            answer.get(6..10) == Some(&[0; 4]),
            "the TPM refuses to tell PCR {number}"
        );
        // The answer ends with a digest of 32 bytes.
        let digest = answer
            .last_chunk::<32>()
            .context("the TPM's answer is short")?;
        Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Hands it one end of a socket pair, as QEMU does (CMD_SET_DATAFD of swtpm_ioctls(3)).
    fn connect(&self) -> Result<UnixStream> {
        const SET_DATA_FD: [u8; 4] = [0, 0, 0, 0x10];
        let (ours, its) = UnixStream::pair()?;
        ours.set_read_timeout(Some(LIMIT))?;
        let mut control = UnixStream::connect(&self.control).context("swtpm is gone")?;
        control.set_read_timeout(Some(LIMIT))?;
        let descriptors: [RawFd; 1] = [its.as_raw_fd()];
        sendmsg::<()>(
            control.as_raw_fd(),
            &[IoSlice::new(&SET_DATA_FD)],
            &[ControlMessage::ScmRights(&descriptors)],
            MsgFlags::empty(),
            None,
        )?;
        let mut result = [0; 4];
        control.read_exact(&mut result)?;
        ensure!(result == [0; 4], "swtpm takes no connection");
        Ok(ours)
    }
}

/// TPM2_PCR_Read ("TPM 2.0 Library", part 3, 22.4) of one PCR in the bank of SHA-256.
fn read_command(number: u8) -> Vec<u8> {
    let mut selected = [0; 3];
    if let Some(byte) = selected.get_mut(usize::from(number / 8)) {
        *byte = 1 << (number % 8);
    }
    let head = *b"\x80\x01\0\0\0\x14\0\0\x01\x7e\0\0\0\x01\0\x0b\x03";
    [head.as_slice(), &selected].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_how_long_it_is_and_which_pcr_it_means() {
        let command = read_command(9);
        assert_eq!(command.len(), 0x14);
        assert_eq!(command.last_chunk(), Some(&[0, 2, 0]));
    }
}
