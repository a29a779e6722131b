//! The janitor: makes the kernel forget the connections of inner addresses that are gone.
//!
//! ```text
//!   daemon (no right)    --- 16 bytes an address --->    janitor (CAP_NET_ADMIN)
//!                        <-- one byte: confined ----        | netlink: list, delete
//! ```
//!
//! It is a separate process, this program in a second mode. Listing connections takes a right that
//! no process may have that a network peer can reach. The janitor holds two descriptors, takes
//! addresses and answers nothing. If it ends, so does the daemon. If the daemon ends, the janitor
//! deletes what it was told last, and ends.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use mayfly_sys::confine::{self, OnViolation};
use mayfly_sys::conntrack::Connections;

use crate::lockdown;
use crate::stack;

/// This program.
const PROGRAM: &str = "/proc/self/exe";
/// The option that makes it the janitor.
const MODE: &str = "--janitor";

/// Bytes of an address. An IPv4 address is sent as an IPv6 address (RFC 4291 section 2.5.5.2).
const RECORD: usize = 16;
/// How many addresses are taken at once, for one pass over the table.
const AT_ONCE: usize = 4096;

/// The daemon's end of the socket.
pub(crate) struct Janitor {
    socket: UnixStream,
    /// What the socket has not taken yet. The inner addresses of the node bound it.
    waiting: Vec<u8>,
}

impl Janitor {
    /// Starts the process, and returns once it is confined.
    ///
    /// # Errors
    /// The process cannot be started, or it ended before it was confined.
    pub(crate) fn start(landlock_abi: u8) -> io::Result<Self> {
        let (mut socket, theirs) = UnixStream::pair()?;
        // It is not waited for. By the time that it ends, its parent is the process that started
        // the daemon.
        Command::new(PROGRAM)
            .args([MODE, &landlock_abi.to_string()])
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .spawn()?;
        socket.read_exact(&mut [0])?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            waiting: Vec::new(),
        })
    }

    /// Queues an address whose connections must go. Waits for nothing.
    pub(crate) fn forget(&mut self, address: IpAddr) {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        self.waiting.extend(address.octets());
    }

    /// Sends what is queued, as far as the socket has room. The rest goes the next time.
    ///
    /// # Errors
    /// The janitor is gone.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            match self.socket.write(&self.waiting) {
                Ok(sent) => drop(self.waiting.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // Frees the memory, too: what was drained still lies behind the end of the vector.
        self.waiting = Vec::new();
        Ok(())
    }

    /// Whether [`Self::flush`] could not send everything.
    pub(crate) fn is_behind(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl AsFd for Janitor {
    /// Readable, and at its end, once the janitor is gone.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Why the janitor ended before the daemon did.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JanitorError {
    /// The socket to the daemon, or netlink's, failed.
    #[error("the janitor: {0}")]
    System(#[from] io::Error),
    /// It could not give up its rights.
    #[error("the janitor: {0}")]
    Confine(#[from] confine::Failure),
}

/// Runs the janitor, with the daemon at standard input.
///
/// # Errors
/// It cannot do its work. The daemon learns it from the end of the socket.
pub(crate) fn run(landlock_abi: u8) -> Result<(), JanitorError> {
    let mut daemon = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut connections = Connections::open()?;
    let mut room = vec![0; AT_ONCE * RECORD];
    confine::confine(&lockdown::janitor(landlock_abi))?
        .seal(lockdown::JANITOR_CALLS, OnViolation::Kill)?;
    daemon.write_all(&[1])?;
    let mut filled = 0;
    loop {
        let free = room.get_mut(filled..).unwrap_or_default();
        match daemon.read(free)? {
            0 => return Ok(()),
            length => filled += length,
        }
        // A record may arrive in two parts.
        let whole = filled - filled % RECORD;
        forget(&mut connections, room.get(..whole).unwrap_or_default())?;
        room.copy_within(whole..filled, 0);
        filled -= whole;
        room.get_mut(filled..).unwrap_or_default().fill(0);
        stack::scrub();
    }
}

/// Never inlined into `run`, whose stack frame is not scrubbed.
#[inline(never)]
fn forget(connections: &mut Connections, records: &[u8]) -> io::Result<()> {
    connections.forget(&addresses(records))
}

fn addresses(records: &[u8]) -> HashSet<IpAddr> {
    let records = records.as_chunks::<RECORD>().0.iter();
    let address = |record: &[u8; RECORD]| Ipv6Addr::from(*record).to_canonical();
    records.map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Janitor, UnixStream) {
        let (socket, other) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let waiting = Vec::new();
        (Janitor { socket, waiting }, other)
    }

    #[test]
    fn addresses_of_both_families_arrive_as_they_were() {
        let (mut janitor, mut other) = pair();
        let gone: [IpAddr; 2] = ["10.64.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        for address in gone {
            janitor.forget(address);
        }
        janitor.flush().unwrap();
        drop(janitor);
        let mut heard = Vec::new();
        other.read_to_end(&mut heard).unwrap();
        assert_eq!(addresses(&heard), HashSet::from(gone));
    }

    #[test]
    fn what_a_busy_janitor_does_not_take_is_sent_later() {
        let (mut janitor, mut other) = pair();
        let count = 200_000_u32;
        for number in 0..count {
            janitor.forget(IpAddr::V4(number.into()));
        }
        janitor.flush().unwrap();
        assert!(janitor.is_behind());
        let reading = std::thread::spawn(move || {
            let mut heard = vec![0; count as usize * RECORD];
            other.read_exact(&mut heard).unwrap();
            addresses(&heard).len()
        });
        while janitor.is_behind() {
            janitor.flush().unwrap();
            std::thread::yield_now();
        }
        assert_eq!(reading.join().unwrap(), count as usize);
    }

    #[test]
    fn a_janitor_that_is_gone_is_an_error() {
        let (mut janitor, other) = pair();
        drop(other);
        janitor.forget(IpAddr::V4(1.into()));
        assert!(janitor.flush().is_err());
    }
}
