//! Waits for a client's first message, at no cost.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::{Interest, ReadBuf};
use tokio::net::TcpStream;

/// Bytes that the first record may have. That of a client that offers a hybrid key exchange has
/// less than 2 KiB.
const LONGEST: usize = 8 * 1024;
/// A record's type, version and length (RFC 8446 section 5.1).
const HEADER: usize = 5;
/// The type of a record that a handshake begins with.
const HANDSHAKE: u8 = 22;

/// Waits until the first record of TLS has come whole. It stays in the kernel: a connection on
/// which nothing comes, or not all of it, needs no memory for TLS.
///
/// # Errors
/// The connection ended, or does not begin as TLS does.
pub(super) async fn arrives(stream: &TcpStream) -> io::Result<()> {
    poll_fn(|context| poll(stream, context)).await
}

/// What was peeked at is on the stack, which is zeroed before the thread sleeps.
fn poll(stream: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    loop {
        let mut room = [0; LONGEST];
        let mut room = ReadBuf::new(&mut room);
        if ready!(stream.poll_peek(context, &mut room))? == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        if is_whole(room.filled())? {
            return Poll::Ready(Ok(()));
        }
        // So that the next peek waits until more has come.
        let wait = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = stream.try_io(Interest::READABLE, wait);
    }
}

fn is_whole(bytes: &[u8]) -> io::Result<bool> {
    if bytes.first().is_some_and(|kind| *kind != HANDSHAKE) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let Some([_, _, _, high, low]) = bytes.get(..HEADER) else {
        return Ok(false);
    };
    let length = HEADER + usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes.len() >= length)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const RECORD: [u8; 7] = [HANDSHAKE, 3, 1, 0, 2, 1, 0];

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn a_record_is_awaited_whole_and_stays_to_be_read() {
        let (mut client, mut server) = pair().await;
        for byte in &RECORD[..RECORD.len() - 1] {
            client.write_all(&[*byte]).await.unwrap();
            let short = timeout(Duration::from_millis(20), arrives(&server)).await;
            assert!(short.is_err());
        }
        client.write_all(&RECORD[RECORD.len() - 1..]).await.unwrap();
        arrives(&server).await.unwrap();
        let mut read = [0; RECORD.len()];
        server.read_exact(&mut read).await.unwrap();
        assert_eq!(read, RECORD);
    }

    #[tokio::test]
    async fn what_is_not_tls_is_refused_and_so_is_an_end() {
        let (mut client, server) = pair().await;
        client.write_all(b"GET").await.unwrap();
        let refused = arrives(&server).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);

        let (client, server) = pair().await;
        drop(client);
        let refused = arrives(&server).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_record_that_is_too_long_is_refused_by_its_header() {
        let header = [HANDSHAKE, 3, 1, 0x20, 0];
        assert_eq!(
            is_whole(&header).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
        assert!(!is_whole(&[HANDSHAKE, 3, 1, 0x1f, 0]).unwrap());
    }
}
