//! A customer's traffic while RAM is read: a page that does not end, and the same question to a
//! resolver again and again. So some of it is in transit through the node at any moment.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mayfly_host::namespace::Namespace;
use mayfly_host::signals;

use super::patience::Patience;

/// Pause between two looks whether it must end.
const LOOK: Duration = Duration::from_millis(20);
/// How long traffic may stand still.
const PATIENCE: Duration = Duration::from_secs(10);
/// Shortest pause between two questions to the resolver.
const PACE: Duration = Duration::from_millis(2);
/// The bytes of the page and the answers that show that traffic flows.
const FLOWS: usize = 256 * 1024;

/// Threads that end when this is dropped.
#[derive(Default)]
struct Threads {
    stop: Arc<AtomicBool>,
    all: Vec<JoinHandle<()>>,
}

impl Threads {
    fn start(&mut self, turn: impl FnMut() -> Turn + Send + 'static) {
        let stop = self.stop.clone();
        let mut turn = turn;
        self.all.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) && turn() == Turn::Again {}
        }));
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.all.drain(..) {
            let _ = thread.join();
        }
    }
}

#[derive(PartialEq)]
enum Turn {
    Again,
    Over,
}

/// A host on the internet: a page without an end, and a resolver.
pub(crate) struct Host {
    visitors: Arc<AtomicUsize>,
    _threads: Threads,
}

impl Host {
    /// Serves `page` over and over, at `web`, and answers every question at `resolver`.
    ///
    /// # Errors
    /// An address cannot be bound.
    pub(crate) fn serve(
        internet: &Namespace,
        web: SocketAddr,
        resolver: SocketAddr,
        page: Vec<u8>,
        patience: Patience,
    ) -> Result<Self> {
        let (listener, questions) =
            internet.inside(|| Ok((TcpListener::bind(web)?, UdpSocket::bind(resolver)?)))?;
        listener.set_nonblocking(true)?;
        questions.set_read_timeout(Some(LOOK))?;
        let mut threads = Threads::default();
        let page = Arc::new(page);
        let visitors = Arc::new(AtomicUsize::new(0));
        let (count, mut served) = (visitors.clone(), Threads::default());
        threads.start(move || {
            if let Ok((stream, _)) = listener.accept() {
                count.fetch_add(1, Ordering::Relaxed);
                let limit = patience.of(PATIENCE);
                served.start(endless(stream, page.clone(), count.clone(), limit));
            }
            thread::sleep(LOOK);
            Turn::Again
        });
        threads.start(move || {
            let mut question = [0; 512];
            if let Ok((length, from)) = questions.recv_from(&mut question) {
                let mut answer = question[..length].to_vec();
                // QR and RCODE 3: there is no such name (RFC 1035 section 4.1.1).
                answer[2..4].copy_from_slice(&[0x81, 0x83]);
                let _ = questions.send_to(&answer, from);
            }
            Turn::Again
        });
        Ok(Self {
            visitors,
            _threads: threads,
        })
    }

    /// Whether the page has a visitor.
    pub(crate) fn has_visitors(&self) -> bool {
        self.visitors.load(Ordering::Relaxed) > 0
    }
}

/// The page, until the visitor leaves.
fn endless(
    mut stream: TcpStream,
    page: Arc<Vec<u8>>,
    visitors: Arc<AtomicUsize>,
    limit: Duration,
) -> impl FnMut() -> Turn {
    let begin = move |stream: &mut TcpStream| {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(limit))?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")
    };
    let mut good = begin(&mut stream).is_ok();
    move || {
        good = good && stream.write_all(&page).is_ok();
        if good {
            return Turn::Again;
        }
        visitors.fetch_sub(1, Ordering::Relaxed);
        Turn::Over
    }
}

/// A customer's traffic, until it is dropped.
pub(crate) struct Traffic {
    /// The page's destination inside the tunnel.
    pub inner: SocketAddr,
    _threads: Threads,
}

impl Traffic {
    /// Begins, and returns when both the page and answers come. `pause` is the time between two reads
    /// of the page, and between two questions.
    ///
    /// # Errors
    /// Nothing comes.
    pub(crate) fn start(
        from: &Namespace,
        web: SocketAddr,
        resolver: SocketAddr,
        question: Vec<u8>,
        pause: Duration,
        patience: Patience,
    ) -> Result<Self> {
        let limit = patience.of(PATIENCE);
        let any: IpAddr = if resolver.is_ipv4() {
            [0; 4].into()
        } else {
            [0_u16; 8].into()
        };
        let (page, asks) = from.inside(|| {
            let page = TcpStream::connect_timeout(&web, limit).context("no page comes")?;
            let asks = UdpSocket::bind((any, 0))?;
            asks.connect(resolver)?;
            Ok((page, asks))
        })?;
        let inner = page.local_addr()?;
        let came = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let mut threads = Threads::default();
        threads.start(reader(page, came[0].clone(), pause)?);
        threads.start(asker(asks, question, came[1].clone(), pause.max(PACE))?);
        let traffic = Self {
            inner,
            _threads: threads,
        };
        let started = Instant::now();
        let flows =
            || came[0].load(Ordering::Relaxed) >= FLOWS && came[1].load(Ordering::Relaxed) > 0;
        while !flows() {
            signals::check()?;
            ensure!(started.elapsed() < limit, "the page or answers stay away");
            thread::sleep(LOOK);
        }
        Ok(traffic)
    }
}

fn reader(
    mut page: TcpStream,
    came: Arc<AtomicUsize>,
    pause: Duration,
) -> Result<impl FnMut() -> Turn> {
    page.set_read_timeout(Some(LOOK))?;
    page.write_all(b"GET / HTTP/1.1\r\n\r\n")?;
    let mut part = vec![0; 64 * 1024];
    Ok(move || {
        thread::sleep(pause);
        match page.read(&mut part) {
            Ok(0) => Turn::Over,
            Ok(length) => {
                came.fetch_add(length, Ordering::Relaxed);
                Turn::Again
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Turn::Again,
            Err(_) => Turn::Over,
        }
    })
}

fn asker(
    asks: UdpSocket,
    question: Vec<u8>,
    came: Arc<AtomicUsize>,
    pace: Duration,
) -> Result<impl FnMut() -> Turn> {
    asks.set_nonblocking(true)?;
    Ok(move || {
        thread::sleep(pace);
        let _ = asks.send(&question);
        if asks.recv(&mut [0; 512]).is_ok() {
            came.fetch_add(1, Ordering::Relaxed);
        }
        Turn::Again
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_end_with_what_they_are_for() {
        let turns = Arc::new(AtomicUsize::new(0));
        let mut threads = Threads::default();
        let seen = turns.clone();
        threads.start(move || {
            seen.fetch_add(1, Ordering::Relaxed);
            Turn::Again
        });
        while turns.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        drop(threads);
        let after = turns.load(Ordering::Relaxed);
        thread::yield_now();
        assert_eq!(turns.load(Ordering::Relaxed), after);
    }
}
