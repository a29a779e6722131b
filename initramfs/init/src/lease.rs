//! The DHCP client's socket: UDP port 68 on one link, so no raw socket is needed.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

use crate::dhcp::{CLIENT_PORT, Client, Event, Lease};
use crate::wait;

/// The smallest message that every client must take is 576 bytes; no link carries more.
const LARGEST_MESSAGE: usize = 1500;

/// A client that talks on a link.
pub struct Leasing {
    socket: UdpSocket,
    client: Client,
}

impl Leasing {
    /// Opens port 68 on `link`, which is up. `random` is the first transaction's number.
    ///
    /// # Errors
    /// The port is taken, or the link is gone.
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

    /// Waits for an address, at most `patience`.
    ///
    /// # Errors
    /// The socket cannot be waited for.
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

    /// Waits until there is a reason to [`Self::turn`], or until `limit`.
    ///
    /// # Errors
    /// As poll(2).
    pub fn wait(&self, limit: Instant) -> io::Result<()> {
        wait::readable(&[self.as_fd()], self.next().min(limit))
    }

    /// When [`Self::turn`] wants to be called, if the socket is not readable before.
    pub fn next(&self) -> Instant {
        self.client.poll_timeout()
    }

    /// Takes what came, sends what is due, and says what it means.
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

    /// What is lost here is asked again later, like what the network loses.
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
