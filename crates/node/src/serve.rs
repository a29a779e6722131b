//! The two HTTP servers: enrolment over TLS for clients, health in the clear for the operator.
//!
//! A connection carries one request and has a time limit. The number of connections is limited, for
//! each source and for all together. Nothing of a connection outlives it.

mod api;
mod slots;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::control::Control;
use slots::{Slot, Slots};

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long the head of a request may take.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection may last, from its first byte to its last.
const CONNECTION_TIME: Duration = Duration::from_secs(30);
/// The pause after the system had no descriptor or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How many connections clients may have at a time. Each takes about 50 KiB.
const CLIENTS: usize = 512;
/// How many of them one source may have: enough for many clients behind one address.
const CLIENTS_OF_A_SOURCE: usize = 32;
/// How many connections the operator's monitors may have at a time.
const MONITORS: usize = 16;

/// Serves `POST` and `DELETE /v1/peers`.
pub(crate) async fn enrolment(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    control: Rc<RefCell<Control>>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let slots = Slots::new(CLIENTS, CLIENTS_OF_A_SOURCE);
    loop {
        let (stream, slot) = accept(&listener, &slots).await;
        let acceptor = acceptor.clone();
        let control = control.clone();
        spawn_local(async move {
            let _slot = slot;
            // So that the answer does not wait until the client acknowledges what TLS sent before.
            let _ = stream.set_nodelay(true);
            let local = stream.local_addr().map(|local| local.ip()).ok();
            let handshake = timeout(HANDSHAKE_TIME, acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = handshake {
                serve(stream, |request| api::peers(request, local, &control)).await;
            }
        });
    }
}

/// Serves `GET /healthz`.
pub(crate) async fn health(listener: TcpListener, control: Rc<RefCell<Control>>) {
    let slots = Slots::new(MONITORS, MONITORS);
    loop {
        let (stream, slot) = accept(&listener, &slots).await;
        let control = control.clone();
        spawn_local(async move {
            let _slot = slot;
            serve(stream, |request| {
                std::future::ready(api::healthz(&request, &control))
            })
            .await;
        });
    }
}

/// Accepts the next connection for which there is a slot.
async fn accept(listener: &TcpListener, slots: &Slots) -> (TcpStream, Slot) {
    loop {
        match poll_fn(|context| take(listener, slots, context)).await {
            Ok((stream, Some(slot))) => return (stream, slot),
            Ok((_, None)) => {}
            // A connection died in the queue, or no descriptor is left. Neither lasts.
            Err(_) => sleep(EXHAUSTED_PAUSE).await,
        }
    }
}

/// Accepts a connection, and gives it a slot if there is one. The client's address is never stored
/// in a future, where it would stay until the next client's. What is on the stack is zeroed before
/// the thread sleeps.
fn take(
    listener: &TcpListener,
    slots: &Slots,
    context: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, Option<Slot>)>> {
    let taken = listener.poll_accept(context);
    taken.map_ok(|(stream, remote)| (stream, slots.take(remote.ip())))
}

/// Answers one request. How it ends is reported nowhere.
async fn serve<S, A>(stream: S, answer: impl Fn(Request<Incoming>) -> A)
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
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    let _ = timeout(CONNECTION_TIME, connection).await;
}
