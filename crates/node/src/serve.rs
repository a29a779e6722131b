//! The two HTTP servers: enrolment over TLS for clients, health in the clear for the operator.
//!
//! A connection carries one request and has a time limit. Nothing of a connection outlives it.
//!
//! Whoever connects gets a place, at once, and keeps it while others need it more than its network
//! does (see [`places`]). A connection that has finished its TLS handshake has a place of another
//! kind: those that have not, and cost their sender nothing, cannot take it.
//!
//! The most memory that clients can have here, in KiB:
//!
//! | | places | for TLS | its input | head | body | answer | together |
//! |---|---|---|---|---|---|---|---|
//! | before the handshake is finished | 512 | 12 | 8 | | | | 10,240 |
//! | after it | 128 | 32 | 18 | 16 | 32 | 2 | 12,800 |
//! | monitors, without TLS | 16 | | | 16 | | 1 | 272 |
//!
//! So it is 23 MiB, and in the kernel at most [`tcp::RECEIVE_ROOM`](mayfly_sys::tcp) for each
//! place.

mod api;
mod first_message;
mod gauge;
mod network;
mod places;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use mayfly_wire::enrol::Cidr;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::control::Control;
use gauge::Gauge;
use network::Networks;
use places::{Places, Slot};

/// How long a TLS handshake may take, and the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same, while more than half of the places are taken.
const CROWDED_PATIENCE: Duration = Duration::from_secs(3);
/// How long a connection may last after its handshake.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// The pause after the system had no descriptor or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Places for connections that have not finished their TLS handshake.
const UNPROVEN: u16 = 512;
/// Places for connections that have. One takes as long as a request and its answer are under way.
const PROVEN: u16 = 128;
/// Places for connections of the operator's monitors.
const MONITORS: u16 = 16;
/// Bytes that a client may send before its handshake is finished. It needs some 2 KiB.
const HANDSHAKE_BYTES: usize = 8 * 1024;
/// Bytes of the head of a request. The longest that a client has reason to send is below 1 KiB.
const HEAD_BYTES: usize = 16 * 1024;
/// Fields of the head of a request.
const HEAD_FIELDS: usize = 32;

/// Serves `POST` and `DELETE /v1/peers`. `inner` are the prefixes of inner addresses.
pub(crate) async fn enrolment(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    inner: Vec<Cidr>,
    control: Rc<RefCell<Control>>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let unproven = Places::new(UNPROVEN, Instant::now());
    let proven = Places::new(PROVEN, Instant::now());
    loop {
        let (stream, slot) = accept(&listener, &unproven, &inner).await;
        let (acceptor, control) = (acceptor.clone(), control.clone());
        let patience = patience(&unproven);
        let proven = proven.clone();
        spawn_local(async move {
            // So that the answer does not wait until the client acknowledges what TLS sent before.
            let _ = stream.set_nodelay(true);
            let local = stream.local_addr().map(|local| local.ip()).ok();
            let handshake = handshake(&acceptor, stream, patience);
            let Some(stream) = while_placed(&slot, handshake).await.flatten() else {
                return;
            };
            let Some(slot) = slot.move_to(&proven, Instant::now()) else {
                return;
            };
            let answer = |request| api::peers(request, local, &control);
            while_placed(&slot, serve(stream, self::patience(&proven), answer)).await;
        });
    }
}

/// Serves `GET /healthz`.
pub(crate) async fn health(listener: TcpListener, inner: Vec<Cidr>, control: Rc<RefCell<Control>>) {
    let places = Places::new(MONITORS, Instant::now());
    loop {
        let (stream, slot) = accept(&listener, &places, &inner).await;
        let control = control.clone();
        let patience = patience(&places);
        spawn_local(async move {
            let answer = |request| std::future::ready(api::healthz(&request, &control));
            while_placed(&slot, serve(stream, patience, answer)).await;
        });
    }
}

fn patience(places: &Places) -> Duration {
    if places.is_crowded() {
        CROWDED_PATIENCE
    } else {
        PATIENCE
    }
}

/// Accepts the next connection that gets a place.
async fn accept(listener: &TcpListener, places: &Places, inner: &[Cidr]) -> (TcpStream, Slot) {
    loop {
        match poll_fn(|context| take(listener, places, inner, context)).await {
            Ok((stream, Some(slot))) => return (stream, slot),
            Ok((_, None)) => {}
            // A connection died in the queue, or no descriptor is left. Neither lasts.
            Err(_) => sleep(EXHAUSTED_PAUSE).await,
        }
    }
}

/// Accepts a connection and gives it a place. The client's address is never stored in a future,
/// where it would stay until the next client's. What is on the stack is zeroed before the thread
/// sleeps.
fn take(
    listener: &TcpListener,
    places: &Places,
    inner: &[Cidr],
    context: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, Option<Slot>)>> {
    listener.poll_accept(context).map_ok(|(stream, remote)| {
        let networks = Networks::of(remote.ip(), inner);
        (stream, places.take(networks, Instant::now()))
    })
}

/// Does the work of a connection until its place goes to another.
async fn while_placed<T>(slot: &Slot, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = slot.lost() => None,
        done = work => Some(done),
    }
}

/// A TLS handshake in bounded time and memory.
async fn handshake(
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    patience: Duration,
) -> Option<TlsStream<Gauge<TcpStream>>> {
    let finished = timeout(patience, async {
        first_message::arrives(&stream).await?;
        let stream = Gauge::new(stream, HANDSHAKE_BYTES);
        acceptor.accept(stream).await
    });
    let mut stream = finished.await.ok()?.ok()?;
    stream.get_mut().0.open();
    Some(stream)
}

/// Answers one request. How it ends is reported nowhere.
async fn serve<S, A>(stream: S, patience: Duration, answer: impl Fn(Request<Incoming>) -> A)
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Future<Output = Response<Full<Bytes>>>,
{
    let service = service_fn(|request| {
        let answer = answer(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .auto_date_header(false)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(CONNECTION_TIME, connection).await;
}
