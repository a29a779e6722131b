//! A web server with one page, which records its visitors.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};

/// Pause between two looks for a visitor, and how long a visitor may take for its request.
const LOOK: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(5);

/// Random bytes.
///
/// # Errors
/// /dev/urandom cannot be read.
pub fn random_page(length: usize) -> Result<Vec<u8>> {
    let mut page = vec![0; length];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut page))
        .context("cannot read /dev/urandom")?;
    Ok(page)
}

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    visitors: Arc<Mutex<Vec<IpAddr>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Web {
    /// Serves `page` at `address`, for every path.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub fn serve(address: SocketAddr, page: Vec<u8>) -> Result<Self> {
        let listener =
            TcpListener::bind(address).with_context(|| format!("cannot listen at {address}"))?;
        listener.set_nonblocking(true)?;
        // The kernel may have chosen the port.
        let address = listener.local_addr()?;
        let visitors = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (guests, ended) = (visitors.clone(), stop.clone());
        let thread = thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, visitor)) => {
                        guests
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(visitor.ip());
                        // A visitor that breaks off is no error here.
                        let _ = answer(stream, &page);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(LOOK),
                    Err(_) => return,
                }
            }
        });
        Ok(Self {
            address,
            visitors,
            stop,
            thread: Some(thread),
        })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The visitors' addresses, in order.
    pub fn visitors(&self) -> Vec<IpAddr> {
        self.visitors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(mut stream: TcpStream, page: &[u8]) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut asked = Vec::new();
    let mut part = [0; 1024];
    while !asked.ends_with(b"\r\n\r\n") {
        match stream.read(&mut part)? {
            0 => return Ok(()),
            length => asked.extend(part.iter().take(length)),
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        page.len()
    )?;
    stream.write_all(page)
}
