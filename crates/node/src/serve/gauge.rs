//! A stream that ends when its other end has sent too much.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Counts what is read from a stream, until it is [opened](Self::open).
pub(super) struct Gauge<S> {
    stream: S,
    /// Bytes that may still be read. `None` for any number.
    left: Option<usize>,
}

impl<S> Gauge<S> {
    /// Lets `limit` bytes through.
    pub(super) fn new(stream: S, limit: usize) -> Self {
        Self {
            stream,
            left: Some(limit),
        }
    }

    /// Lets everything through from now on.
    pub(super) fn open(&mut self) {
        self.left = None;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gauge<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        if let Some(left) = self.left {
            let left = left.checked_sub(read).ok_or(io::ErrorKind::FileTooLarge)?;
            self.left = Some(left);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gauge<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn too_much_before_it_is_opened_ends_the_stream() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Gauge::new(server, 4);
        client.write_all(&[1; 4]).await.unwrap();
        server.read_exact(&mut [0; 4]).await.unwrap();
        client.write_all(&[1]).await.unwrap();
        let refused = server.read(&mut [0]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::FileTooLarge);
    }

    #[tokio::test]
    async fn an_opened_stream_lets_everything_through() {
        let (mut client, server) = tokio::io::duplex(64);
        let mut server = Gauge::new(server, 1);
        server.open();
        client.write_all(&[1; 60]).await.unwrap();
        server.read_exact(&mut [0; 60]).await.unwrap();
    }
}
