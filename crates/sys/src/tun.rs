//! The TUN device: inner IP packets, in and out.
//!
//! Packets are read into a [`Batch`] that is made once and reused, as many as are there and
//! fit. The device is non-blocking and closes with its descriptor.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::errno::Errno;

/// Longest packet that a TUN device can hand over, in bytes.
pub const MAX_PACKET: usize = 65_535;

/// A TUN device of ours (Documentation/networking/tuntap.rst).
pub struct Tun {
    file: File,
}

impl Tun {
    /// Makes the device `name`, which must not be there yet. Needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// The name is longer than 15 bytes or taken; /dev/net/tun is missing or refused.
    pub fn create(name: &str) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
        let request = interface_request(name, flags as libc::c_short)?;
        // SAFETY: the descriptor is a TUN clone device, TUNSETIFF reads one ifreq, and the
        // reference is valid for the call.
        let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
        Errno::result(done)?;
        Ok(Self { file })
    }

    /// Reads what is there into `batch`, after emptying it, until the device has no more or
    /// the batch is full. Returns how many packets came; 0 is not an end.
    ///
    /// # Errors
    /// The device is gone or down.
    pub fn read_batch(&self, batch: &mut Batch) -> io::Result<usize> {
        batch.lengths.clear();
        for slot in batch.buffer.chunks_exact_mut(MAX_PACKET) {
            match (&self.file).read(slot) {
                Ok(length) => batch.lengths.push(length),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
                Err(error) => return Err(error),
            }
        }
        Ok(batch.lengths.len())
    }

    /// Writes packets, each whole. One that the kernel does not take is lost, as on a wire.
    pub fn write_batch<'a>(&self, packets: impl Iterator<Item = &'a [u8]>) {
        for packet in packets {
            let _lost = (&self.file).write(packet);
        }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Packets as they came from a device.
pub struct Batch {
    buffer: Vec<u8>,
    lengths: Vec<usize>,
}

impl Batch {
    /// Room for `packets` packets of any length.
    pub fn new(packets: usize) -> Self {
        Self {
            buffer: vec![0; packets * MAX_PACKET],
            lengths: Vec::with_capacity(packets),
        }
    }

    /// The packets of the last read.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let slots = self.buffer.chunks_exact(MAX_PACKET);
        slots
            .zip(&self.lengths)
            .map(|(slot, &length)| &slot[..length])
    }
}

fn interface_request(name: &str, flags: libc::c_short) -> io::Result<libc::ifreq> {
    if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(['\0', '/']) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: ifreq is plain bytes, for which all zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags;
    Ok(request)
}
