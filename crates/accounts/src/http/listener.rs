//! The only listener: TLS, then HTTP/1.1, with a bounded number of connections.
//!
//! A client's address exists here only while it is hashed.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::rekeyed::Rekeyed;
use crate::core::limits::{Salt, Subject};
use crate::keys::tls::{self, PeerCertificate};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);

/// The most bytes in the head of a request: more than any request to this service needs.
const HEAD_SIZE: usize = 16 * 1024;

/// How long open requests may continue after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The connection of a request.
#[derive(Clone)]
pub(crate) struct Peer {
    /// The subject of the limits.
    pub(crate) network: Subject,
    /// The certificate that the client showed, if it showed one.
    pub(crate) certificate: Option<PeerCertificate>,
    /// Turns true when the service stops.
    stopping: watch::Receiver<bool>,
    /// The connection's place among all connections. A stream keeps it.
    _place: Arc<OwnedSemaphorePermit>,
}

impl Peer {
    /// Waits for the service to stop.
    pub(crate) async fn stopping(&mut self) {
        // An error means that the listener has ended, which is a stop as well.
        let _ = self.stopping.wait_for(|&stopping| stopping).await;
    }
}

/// Takes connections until `stop` is ready, then waits for them to end.
pub(crate) async fn run(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    salt: &Salt,
    max: u32,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(max as usize));
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places, salt) => accepted,
        };
        let Some((tcp, network, place)) = accepted else {
            continue;
        };
        let peer = Peer {
            network,
            certificate: None,
            stopping: stopped.clone(),
            _place: Arc::new(place),
        };
        tokio::spawn(converse(tcp, acceptor.clone(), router.clone(), peer));
    }
    drop(listener);
    stopping.send_replace(true);
    // Connections that are still open end with the process.
    let _ = timeout(DRAIN, places.acquire_many(max)).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    salt: &Salt,
) -> Option<(TcpStream, Subject, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match poll_fn(|context| take(listener, salt, context)).await {
        Ok((tcp, network)) => Some((tcp, network, place)),
        Err(_) => {
            // No descriptor is free, or the connection has ended. Wait before the next try.
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// A connection, and the network of its client. The address is never in a future, where it would
/// remain until the next client's address. It is on the stack no longer than this call.
fn take(
    listener: &TcpListener,
    salt: &Salt,
    context: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, Subject)>> {
    let taken = take_and_hash(listener, salt, context);
    if taken.is_ready() {
        scrub();
    }
    taken
}

#[inline(never)]
fn take_and_hash(
    listener: &TcpListener,
    salt: &Salt,
    context: &mut Context<'_>,
) -> Poll<io::Result<(TcpStream, Subject)>> {
    let taken = listener.poll_accept(context);
    taken.map_ok(|(tcp, address)| (tcp, salt.network(address.ip())))
}

/// Zeroes the stack below the caller, where earlier calls have left their arguments.
#[inline(never)]
fn scrub() {
    black_box(&mut [0_u8; 16 * 1024]);
}

async fn converse(tcp: TcpStream, acceptor: TlsAcceptor, router: Router, mut peer: Peer) {
    let _ = tcp.set_nodelay(true);
    let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(tcp)).await else {
        return;
    };
    let shown = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    peer.certificate = shown.and_then(tls::read_certificate);
    let mut own = peer.clone();
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_SIZE)
        .serve_connection(TokioIo::new(Rekeyed::new(stream)), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = own.stopping() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
