//! The TUN device: frames of inner IP packets, in and out.
//!
//! A frame is a header (`struct virtio_net_hdr`) and a packet. The header can say that the packet
//! stands for a train of one flow, so that one call moves some forty packets. This module treats a
//! frame as bytes. Its callers interpret the header. The device is non-blocking, and it is removed
//! when its descriptor is closed.

use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use nix::errno::Errno;
use nix::unistd;

use crate::failures::Failures;

/// What the kernel may leave to the reader of a frame (linux/if_tun.h, TUN_F_*): checksums, and
/// trains of TCP.
const TCP: libc::c_ulong = 0x01 | 0x02 | 0x04;
/// The same, and trains of UDP (since Linux 6.2).
const UDP: libc::c_ulong = TCP | 0x20 | 0x40;

/// A TUN device, or one of its queues (Documentation/networking/tuntap.rst).
pub struct Tun {
    file: File,
    udp_trains: bool,
    failures: Failures,
}

impl Tun {
    /// Makes the device `name`, which must not exist yet. Needs CAP_NET_ADMIN.
    ///
    /// # Errors
    /// The name is empty, longer than 15 bytes or taken, or /dev/net/tun is missing or refused.
    pub fn create(name: &str) -> io::Result<Self> {
        open(name, libc::IFF_TUN_EXCL)
    }

    /// The same with several queues, one for each thread. The kernel delivers a flow's frames by
    /// the queue that its frames were last written to. The frames of a flow that it does not know
    /// come by any queue.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn create_queues(name: &str, count: usize) -> io::Result<Vec<Self>> {
        if count < 2 {
            return Ok(vec![Self::create(name)?]);
        }
        let flags = |queue| if queue == 0 { libc::IFF_TUN_EXCL } else { 0 };
        (0..count)
            .map(|queue| open(name, libc::IFF_MULTI_QUEUE | flags(queue)))
            .collect()
    }

    /// Whether the device takes and gives trains of UDP.
    pub fn has_udp_trains(&self) -> bool {
        self.udp_trains
    }

    /// Reads one frame into `buffer`, and returns its length, or `None` if there is no frame. A
    /// frame that the kernel cannot hand over is lost, as on a wire, and counts as none: its train
    /// is of a kind that the header cannot say, or the buffer is too short for the header.
    ///
    /// # Errors
    /// The device is gone, or has failed 1,000 times in a row.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match unistd::read(&self.file, buffer) {
            Ok(len) => {
                self.failures.end();
                Ok(Some(len))
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => self.failures.add(error).map(|()| None),
        }
    }

    /// Writes one frame, given in parts. A frame that the kernel refuses is lost, as on a wire.
    pub fn write(&self, frame: &[IoSlice<'_>]) {
        let _lost = (&self.file).write_vectored(frame);
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn open(name: &str, more: libc::c_int) -> io::Result<Tun> {
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR | more;
    let request = interface_request(name, flags as libc::c_short)?;
    // SAFETY: the descriptor is a TUN clone device, TUNSETIFF reads one ifreq, and the reference is
    // valid for the call.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw const request) };
    Errno::result(done)?;
    let udp_trains = set_offloads(&file, UDP);
    if !udp_trains {
        // A kernel that refuses this too delivers every packet alone, with its checksum.
        set_offloads(&file, TCP);
    }
    Ok(Tun {
        file,
        udp_trains,
        failures: Failures::default(),
    })
}

fn set_offloads(file: &File, offloads: libc::c_ulong) -> bool {
    // SAFETY: the descriptor is a TUN device, and TUNSETOFFLOAD takes a number.
    unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETOFFLOAD, offloads) == 0 }
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
