//! The beacon: tells the operator why a machine does not come up, as one number in a datagram.
//!
//! A sealed machine has no other way to report this. The datagram is `mayfly-boot NUMBER`, with
//! a number of [`Failure`], to port 9181 of the server that has the bundle. It is sent before
//! any customer can have connected, or after the daemon has ended, and carries nothing else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::Failure;

/// The port at which the operator listens.
pub const PORT: u16 = 9181;

/// The socket to the operator. It stays open after PID 1 has given up the right to open one.
#[derive(Debug)]
pub struct Beacon {
    socket: Option<UdpSocket>,
}

impl Beacon {
    /// A beacon that sends to `operator`. If there is no socket it sends nothing: the boot goes
    /// on without it.
    pub fn to(operator: SocketAddr) -> Self {
        let any = match operator {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any)
            .and_then(|socket| socket.connect(operator).map(|()| socket))
            .ok();
        Self { socket }
    }

    /// Sends the number once. A lost datagram is not sent again.
    pub fn tell(&self, failure: Failure) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(format!("mayfly-boot {}\n", failure as u8).as_bytes());
        }
    }
}
