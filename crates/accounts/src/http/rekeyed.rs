//! A TLS connection whose keys change: rule 8 of `crates/counter/PROTOCOL.md`. A node's stream stays
//! open for weeks. Someone who has recorded it, and seizes one of its ends, opens what was sent since
//! the last change, and nothing older.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use mayfly_counter::constants::KEYS_LAST;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

/// Asks for new keys, for both directions, with the first write after [`KEYS_LAST`]. So the change
/// is seen when something is sent anyway.
pub(super) struct Rekeyed {
    stream: TlsStream<TcpStream>,
    due: Instant,
}

impl Rekeyed {
    /// `stream` has just got its first keys.
    pub(super) fn new(stream: TlsStream<TcpStream>) -> Self {
        Self {
            stream,
            due: Instant::now() + KEYS_LAST,
        }
    }

    /// The stream to write to, with keys that may be used.
    fn fresh(self: Pin<&mut Self>) -> io::Result<Pin<&mut TlsStream<TcpStream>>> {
        let this = self.get_mut();
        if Instant::now() >= this.due {
            this.due = Instant::now() + KEYS_LAST;
            let (_, connection) = this.stream.get_mut();
            connection
                .refresh_traffic_keys()
                .map_err(io::Error::other)?;
        }
        Ok(Pin::new(&mut this.stream))
    }
}

impl AsyncRead for Rekeyed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Rekeyed {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.fresh()?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.fresh()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
