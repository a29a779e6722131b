//! What the attempts work on. Without the confinement, all of it could be written to.

use std::ffi::{CStr, CString};
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::Pid;

/// The account service of the node's example settings. This machine has its address.
pub(crate) const SERVICE: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(203, 0, 113, 5)), 8443);
/// A server that takes logs over TCP (RFC 6587).
pub(crate) const LOG_TCP: SocketAddr = SocketAddr::new(SERVICE.ip(), 601);
/// A server that takes logs over UDP (RFC 5426), behind another link.
pub(crate) const LOG_UDP: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 51, 100, 9)), 514);

const FILE: &str = "file";
const EMPTY: &str = "empty";
const LOG: &str = "log";

/// A directory and what is open in it, when a process is about to be confined.
pub(crate) struct Place {
    directory: PathBuf,
    opened: io::Result<File>,
    datagrams: io::Result<UdpSocket>,
    /// The process that waits for the attempt.
    pub parent: Pid,
}

/// Makes everything in `directory` again, owned by `user`. What cannot be made cannot be written
/// to.
pub(crate) fn prepare(directory: &Path, user: (u32, u32)) -> Option<UnixDatagram> {
    let _ = fs::remove_dir_all(directory);
    let _ = fs::create_dir_all(directory.join(EMPTY));
    let _ = fs::write(directory.join(FILE), [b'.'; 4096]);
    let log = UnixDatagram::bind(directory.join(LOG)).ok();
    for name in ["", EMPTY, FILE, LOG] {
        let path = directory.join(name);
        let _ = chown(&path, Some(user.0), Some(user.1));
        let _ = fs::set_permissions(&path, Permissions::from_mode(0o777));
    }
    log
}

impl Place {
    /// Opens what must be open before the confinement.
    pub(crate) fn open(directory: &Path) -> Self {
        Self {
            opened: File::options()
                .read(true)
                .write(true)
                .open(directory.join(FILE)),
            datagrams: UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
            directory: directory.to_owned(),
            parent: Pid::parent(),
        }
    }

    /// A file with a page of dots.
    pub(crate) fn file(&self) -> CString {
        self.named(FILE)
    }

    /// An empty directory.
    pub(crate) fn empty(&self) -> CString {
        self.named(EMPTY)
    }

    /// A socket that takes log lines.
    pub(crate) fn log(&self) -> CString {
        self.named(LOG)
    }

    /// A path in the directory.
    pub(crate) fn named(&self, name: &str) -> CString {
        let path = self.directory.join(name);
        CString::new(path.as_os_str().as_bytes()).unwrap_or_default()
    }

    /// The directory itself.
    pub(crate) fn directory(&self) -> CString {
        self.named("")
    }

    /// The file, open since before the confinement.
    pub(crate) fn opened(&self) -> Result<i64, Errno> {
        descriptor(&self.opened)
    }

    /// A UDP socket, open since before the confinement.
    pub(crate) fn datagrams(&self) -> Result<i64, Errno> {
        descriptor(&self.datagrams)
    }
}

fn descriptor<T: std::os::fd::AsRawFd>(opened: &io::Result<T>) -> Result<i64, Errno> {
    match opened {
        Ok(opened) => Ok(opened.as_raw_fd().into()),
        Err(error) => Err(Errno::from_raw(error.raw_os_error().unwrap_or_default())),
    }
}

/// sockaddr_in.
pub(crate) fn internet(address: SocketAddr) -> [u8; 16] {
    let mut raw = [0; 16];
    raw[0] = libc::AF_INET as u8;
    raw[2..4].copy_from_slice(&address.port().to_be_bytes());
    if let std::net::IpAddr::V4(ip) = address.ip() {
        raw[4..8].copy_from_slice(&ip.octets());
    }
    raw
}

/// sockaddr_un of a path, or of an abstract name that begins with a zero byte.
pub(crate) fn unix(name: &[u8]) -> Vec<u8> {
    let mut raw = vec![libc::AF_UNIX as u8, 0];
    raw.extend(name);
    raw
}

/// A path with its final zero byte, as the kernel reads it.
pub(crate) fn with_end(path: &CStr) -> &[u8] {
    path.to_bytes_with_nul()
}
