//! What an operator hears of a machine that does not come up: one number, in a datagram.
//!
//! A sealed machine has nothing else to say it on. The datagram is `mayfly-boot NUMBER`, with a
//! number of [`Failure`], to port 9181 of the server that has the bundle. It goes out before
//! any customer could have come, or when the daemon has ended, and carries nothing else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::Failure;

/// Where the operator listens.
pub const PORT: u16 = 9181;

/// The way to the operator; it stays open where PID 1 can open nothing any longer.
#[derive(Debug)]
pub struct Beacon {
    socket: Option<UdpSocket>,
}

impl Beacon {
    /// A beacon that is heard at `operator`. Without a socket it tells nothing: that is no
    /// reason to stop.
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

    /// Sends the number; what the network loses is lost.
    pub fn tell(&self, failure: Failure) {
        if let Some(socket) = &self.socket {
            let _ = socket.send(format!("mayfly-boot {}\n", failure as u8).as_bytes());
        }
    }
}
