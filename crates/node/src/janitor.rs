//! The janitor: makes the kernel forget the connections of inner addresses that are gone.
//!
//! ```text
//!   daemon (no right)    --- 16 bytes an address --->    janitor (CAP_NET_ADMIN)
//!                        <-- one byte: confined ----        | netlink: list, delete
//!                        <-- 2 bytes a pass: how
//!                            many addresses are done
//! ```
//!
//! It is a separate process, this program in a second mode. Listing connections takes a right that
//! no process may have that a network peer can reach. The janitor holds two descriptors, takes
//! addresses and answers with their number. If it ends, so does the daemon. If the daemon ends, the
//! janitor deletes what it was told last, and ends.
//!
//! A pass over the table costs as much as the table is long, and clients decide how often there is
//! something to delete. So after a pass the janitor rests four times as long as the pass took: it
//! takes at most a fifth of a processor. Meanwhile addresses gather for the next pass. An address is
//! not given to another client before its pass is done, so at most those of all pools wait, each
//! for the end of a session and for that of the enrolment: 32 bytes each, 6 MiB for three pools of
//! 65,536.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mayfly_sys::confine::{self, OnViolation};
use mayfly_sys::conntrack::Connections;
use mayfly_sys::pause::pause;

use crate::enrolment::EnrolmentId;
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
/// How long the janitor rests after a pass, in times of the pass.
const REST: u32 = 4;
/// How long it rests at least after a pass that failed.
const PAUSE: Duration = Duration::from_millis(500);
/// How many passes may fail one after another. A table that changes, or memory that is short, fails
/// some; a right or a socket that is gone fails all.
const FAILURES: u32 = 20;

/// The daemon's end of the socket.
pub(crate) struct Janitor {
    socket: UnixStream,
    /// What the socket has not taken yet. The inner addresses of the node bound it.
    waiting: Vec<u8>,
    /// How many addresses were queued, and how many of them are done.
    queued: u64,
    done: u64,
    /// Ended enrolments, and how many addresses must be done before the addresses of each may be
    /// given out again.
    ended: VecDeque<(u64, EnrolmentId)>,
    /// The first byte of an answer whose second has not come.
    half: Option<u8>,
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
        Ok(Self::at(socket))
    }

    fn at(socket: UnixStream) -> Self {
        Self {
            socket,
            waiting: Vec::new(),
            queued: 0,
            done: 0,
            ended: VecDeque::new(),
            half: None,
        }
    }

    /// Queues an address whose connections must go. Waits for nothing.
    pub(crate) fn forget(&mut self, address: IpAddr) {
        let address = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        self.waiting.extend(address.octets());
        self.queued += 1;
    }

    /// Has [`Self::rested`] name an enrolment once all addresses that were queued are done.
    pub(crate) fn tell_when_done(&mut self, ended: EnrolmentId) {
        self.ended.push_back((self.queued, ended));
    }

    /// Reads what the janitor has answered.
    ///
    /// # Errors
    /// The janitor is gone.
    pub(crate) fn hear(&mut self) -> io::Result<()> {
        loop {
            let mut heard = [0; 64];
            match self.socket.read(&mut heard) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(length) => self.count(heard.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The next of the enrolments whose connections are gone, until there is none.
    pub(crate) fn rested(&mut self) -> Option<EnrolmentId> {
        let (until, _) = self.ended.front()?;
        if *until > self.done {
            return None;
        }
        let (_, ended) = self.ended.pop_front()?;
        if self.ended.is_empty() {
            self.ended = VecDeque::new();
        }
        Some(ended)
    }

    fn count(&mut self, heard: &[u8]) {
        for byte in heard {
            match self.half.take() {
                Some(low) => self.done += u64::from(u16::from_le_bytes([low, *byte])),
                None => self.half = Some(*byte),
            }
        }
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
    let mut work = Work::new();
    confine::confine(&lockdown::janitor(landlock_abi))?
        .seal(lockdown::JANITOR_CALLS, OnViolation::Kill)?;
    daemon.write_all(&[1])?;
    loop {
        // After a pass that failed there is something to do in any case.
        if work.failures == 0 {
            match daemon.read(work.room())? {
                0 => return Ok(()),
                length => work.filled += length,
            }
        }
        let begun = Instant::now();
        let done = work.pass(|records| forget(&mut connections, records))?;
        let rest = begun.elapsed() * REST;
        stack::scrub();
        match done {
            Some(done) => daemon.write_all(&done.to_le_bytes())?,
            None => pause(PAUSE),
        }
        pause(rest);
    }
}

/// Never inlined into `run`, whose stack frame is not scrubbed.
#[inline(never)]
fn forget(connections: &mut Connections, records: &[u8]) -> io::Result<()> {
    connections.forget(&addresses(records))
}

/// Addresses that the janitor was told and has not done.
struct Work {
    records: Vec<u8>,
    filled: usize,
    /// How many passes have failed since the last that did not.
    failures: u32,
}

impl Work {
    fn new() -> Self {
        Self {
            records: vec![0; AT_ONCE * RECORD],
            filled: 0,
            failures: 0,
        }
    }

    /// Where further records go.
    fn room(&mut self) -> &mut [u8] {
        self.records.get_mut(self.filled..).unwrap_or_default()
    }

    /// Does all whole records in one pass and returns their number. `None` if the pass failed: they
    /// stay for the next one.
    ///
    /// # Errors
    /// The error of the pass, if too many have failed.
    fn pass(&mut self, forget: impl FnOnce(&[u8]) -> io::Result<()>) -> io::Result<Option<u16>> {
        // A record may arrive in two parts.
        let whole = self.filled - self.filled % RECORD;
        match forget(self.records.get(..whole).unwrap_or_default()) {
            Ok(()) => {}
            Err(_) if self.failures < FAILURES => {
                self.failures += 1;
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
        self.failures = 0;
        self.records.copy_within(whole..self.filled, 0);
        self.filled -= whole;
        self.room().fill(0);
        Ok(Some((whole / RECORD) as u16))
    }
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
        (Janitor::at(socket), other)
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
    fn an_enrolment_has_rested_once_all_addresses_queued_before_are_done() {
        let (mut janitor, mut other) = pair();
        let [first, second, third] = [(); 3].map(|()| EnrolmentId::random());
        janitor.tell_when_done(first);
        assert_eq!(janitor.rested(), Some(first));
        for number in 1..=300_u32 {
            janitor.forget(IpAddr::V4(number.into()));
        }
        janitor.tell_when_done(second);
        janitor.forget(IpAddr::V4(301.into()));
        janitor.tell_when_done(third);
        other.write_all(&[0xff, 0, 44, 0, 1]).unwrap();
        janitor.hear().unwrap();
        assert_eq!(janitor.rested(), None);
        other.write_all(&[0]).unwrap();
        janitor.hear().unwrap();
        assert_eq!(janitor.rested(), Some(second));
        assert_eq!(janitor.rested(), None);
        other.write_all(&[1, 0]).unwrap();
        janitor.hear().unwrap();
        assert_eq!(janitor.rested(), Some(third));
    }

    #[test]
    fn a_pass_that_failed_is_made_again_and_twenty_one_are_an_error() {
        let fails = |_: &[u8]| Err(io::ErrorKind::OutOfMemory.into());
        let mut work = Work::new();
        work.room()[..20].fill(7);
        work.filled += 20;
        for _ in 0..FAILURES {
            assert_eq!(work.pass(fails).unwrap(), None);
        }
        let all = |records: &[u8]| {
            assert_eq!(records, [7; RECORD]);
            Ok(())
        };
        assert_eq!(work.pass(all).unwrap(), Some(1));
        // The beginning of the second record is kept, and nothing of the first.
        assert_eq!(work.records[..8], [7, 7, 7, 7, 0, 0, 0, 0]);
        for _ in 0..FAILURES {
            assert_eq!(work.pass(fails).unwrap(), None);
        }
        assert!(work.pass(fails).is_err());
    }

    #[test]
    fn a_janitor_that_is_gone_is_an_error() {
        let (mut janitor, other) = pair();
        drop(other);
        janitor.forget(IpAddr::V4(1.into()));
        assert!(janitor.flush().is_err());
        assert!(janitor.hear().is_err());
    }
}
