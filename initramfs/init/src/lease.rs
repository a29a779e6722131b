//! The DHCP client's socket: UDP port 68 on one link. It needs no raw socket.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::dhcp::{CLIENT_PORT, Client, Event, Lease};
use crate::wait;

/// The largest message that is read, in bytes: what an Ethernet link carries. Every client
/// must accept 576.
const LARGEST_MESSAGE: usize = 1500;

/// A DHCP client and its socket.
pub struct Leasing {
    socket: UdpSocket,
    client: Client,
}

impl Leasing {
    /// Opens port 68 on `link`, which must be up. `random` is the first transaction id.
    ///
    /// # Errors
    /// If the port is in use, or there is no such link.
    pub fn start(link: &str, mac: [u8; 6], random: u32) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, CLIENT_PORT))?;
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from(link))?;
        socket.set_broadcast(true)?;
        socket.set_nonblocking(true)?;
        let mut leasing = Self {
            socket,
            client: Client::new(mac, random, Instant::now()),
        };
        leasing.send();
        Ok(leasing)
    }

    /// Waits for a lease, for at most `patience`. `None` if there is none by then.
    ///
    /// # Errors
    /// Those of [`Self::wait`].
    pub fn obtain(&mut self, patience: Duration) -> io::Result<Option<Lease>> {
        let give_up = Instant::now() + patience;
        while Instant::now() < give_up {
            self.wait(give_up)?;
            if let Some(Event::Bound(lease)) = self.turn() {
                return Ok(Some(lease));
            }
        }
        Ok(None)
    }

    /// Waits until [`Self::turn`] has something to do, or until `limit`.
    ///
    /// # Errors
    /// Those of poll(2), except EINTR.
    pub fn wait(&self, limit: Instant) -> io::Result<()> {
        wait::readable(&[self.as_fd()], self.next().min(limit))
    }

    /// When to call [`Self::turn`] next, unless the socket is readable earlier.
    pub fn next(&self) -> Instant {
        self.client.poll_timeout()
    }

    /// Handles datagrams that arrived, sends what is due, and returns what the caller must act on.
    pub fn turn(&mut self) -> Option<Event> {
        let mut buffer = [0; LARGEST_MESSAGE];
        while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
            let datagram = buffer.get(..length).unwrap_or_default();
            self.client.handle_datagram(datagram, Instant::now());
            self.send();
            if let Some(event) = self.client.poll_event() {
                return Some(event);
            }
        }
        self.client.handle_timeout(Instant::now());
        self.send();
        self.client.poll_event()
    }

    /// A datagram that cannot be sent counts as lost in the network: the client repeats it later.
    fn send(&mut self) {
        while let Some(transmit) = self.client.poll_transmit() {
            let _ = self.socket.send_to(&transmit.payload, transmit.to);
        }
    }
}

impl AsFd for Leasing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
