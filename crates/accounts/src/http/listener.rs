//! The one listener: TLS, then HTTP/1.1, a bounded number of connections.
//!
//! A client's address lives here only for as long as it takes to hash it.

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

use crate::core::limits::{Salt, Subject};
use crate::keys::tls::{self, PeerCertificate};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How long a request's head may take, and how long a connection may idle.
const HEAD: Duration = Duration::from_secs(15);

/// Bytes of a request's head: more than any that is meant for this service.
const HEAD_SIZE: usize = 16 * 1024;

/// How long requests may go on after the stop.
const DRAIN: Duration = Duration::from_secs(5);

/// What a request knows of its connection.
#[derive(Clone)]
pub(crate) struct Peer {
    /// Whom the limits count.
    pub(crate) network: Subject,
    /// What the certificate says that the client showed, if it showed one.
    pub(crate) certificate: Option<PeerCertificate>,
    /// Turns true when the service stops.
    stopping: watch::Receiver<bool>,
    /// The connection's place among all; a stream keeps it.
    _place: Arc<OwnedSemaphorePermit>,
}

impl Peer {
    /// Waits for the service to stop.
    pub(crate) async fn stopping(&mut self) {
        // An error says that the listener has gone: the same.
        let _ = self.stopping.wait_for(|&stopping| stopping).await;
    }
}

/// Takes connections until `stop` is ready, then waits for them to end.
pub(crate) async fn run(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    salt: &Salt,
    most: u32,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(most as usize));
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
    // Some may be left; they end with the process.
    let _ = timeout(DRAIN, places.acquire_many(most)).await;
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
            // No descriptor is free, or the connection has gone: neither is helped by haste.
            sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// A connection, and its client's network. The address is never in a future, where it would
/// lie until the next client's, and on the stack no longer than this.
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

/// Zeroes the stack below the caller, where the calls before have left what they were given.
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
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    tokio::select! {
        _ = &mut connection => return,
        () = own.stopping() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
