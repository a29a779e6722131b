//! Listening for TCP.

use std::io;
use std::net::{SocketAddr, TcpListener};

use nix::sys::socket::{Backlog, listen as set_queue, setsockopt, sockopt};

/// What the kernel keeps of a connection before the program reads it, in bytes, the kernel's own
/// structures included (it doubles what it is told). Others could send up to 6 MiB for each.
pub const RECEIVE_ROOM: usize = 64 * 1024;

/// How many connections may wait to be accepted. Whoever comes while so many wait tries again
/// after a second.
const QUEUE: i32 = 511;

/// Listens at an address for requests that are short.
///
/// `TCP_DEFER_ACCEPT` is not used. It has the kernel keep silent connections back in the queue of
/// those whose handshake is not finished, where they keep others out if SYN cookies are off, as
/// they can be on a host.
///
/// # Errors
/// The address is in use or is not the machine's, or its port needs a right.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Connections inherit it.
    setsockopt(&listener, sockopt::RcvBuf, &(RECEIVE_ROOM / 2))?;
    set_queue(&listener, Backlog::new(QUEUE)?)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}
