//! A node's own health report.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The port of a node's health report.
pub const PORT: u16 = 9180;

const PATIENCE: Duration = Duration::from_secs(2);

/// The report of the node with that address: "ok" once it takes clients and its sessions are
/// counted.
///
/// # Errors
/// It does not answer.
pub fn healthz(node: Ipv4Addr) -> Result<String> {
    let address = SocketAddr::new(IpAddr::V4(node), PORT);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (_, word) = answer.split_once("\r\n\r\n").context("no HTTP")?;
    Ok(word.trim().to_owned())
}
