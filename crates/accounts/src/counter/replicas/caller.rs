//! Calls the leader over TLS, with the certificate of a replica.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use mayfly_wire::MAX_BODY;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::core::error::StartError;
use crate::counter::NotLeader;
use crate::keys::authority::Authority;
use crate::keys::tls;
use crate::store::Store;

/// How long an answer may take, including the time to connect.
const PATIENCE: Duration = Duration::from_secs(3);

type Connection = SendRequest<Full<Bytes>>;

/// The client of the leader: one connection, one question at a time.
pub(super) struct Caller {
    store: Arc<Store>,
    tls: TlsConnector,
    /// A name that is in the certificate of every process.
    name: ServerName<'static>,
    open: Mutex<Option<Connection>>,
}

impl Caller {
    pub(super) fn new(
        config: &Config,
        store: Arc<Store>,
        authority: &Authority,
        now: u64,
    ) -> Result<Self, StartError> {
        let name = config.names().into_iter().next().unwrap_or_default();
        Ok(Self {
            store,
            tls: tls::connector(authority, now)?,
            name: ServerName::try_from(name).map_err(|error| StartError::Tls(error.to_string()))?,
            open: Mutex::default(),
        })
    }

    /// Posts `body` to `path` at the leader. Returns the answer's body.
    ///
    /// # Errors
    /// [`NotLeader`]: there is no leader, or it cannot be reached.
    pub(super) async fn ask(
        &self,
        path: &'static str,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, NotLeader> {
        let mut open = self.open.lock().await;
        let kept = open.take();
        let asked = timeout(PATIENCE, async {
            // The kept connection may lead to a former leader.
            if let Some(kept) = kept
                && let Some(answered) = ask(kept, path, body.clone()).await
            {
                return Some(answered);
            }
            ask(self.connect().await?, path, body).await
        });
        let (connection, answer) = asked.await.ok().flatten().ok_or(NotLeader)?;
        *open = Some(connection);
        Ok(answer)
    }

    async fn connect(&self) -> Option<Connection> {
        let address: SocketAddr = self.store.leader_address().await.ok()??.parse().ok()?;
        let tcp = TcpStream::connect(address).await.ok()?;
        let _ = tcp.set_nodelay(true);
        let tls = self.tls.connect(self.name.clone(), tcp).await.ok()?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }
}

async fn ask(
    mut connection: Connection,
    path: &'static str,
    body: Zeroizing<Vec<u8>>,
) -> Option<(Connection, Zeroizing<Vec<u8>>)> {
    let request = Request::post(path)
        .header("host", "mayfly")
        .body(Full::new(Bytes::from_owner(body)))
        .ok()?;
    connection.ready().await.ok()?;
    let answer = connection.send_request(request).await.ok()?;
    if answer.status() != StatusCode::OK {
        return None;
    }
    let body = Limited::new(answer.into_body(), MAX_BODY)
        .collect()
        .await
        .ok()?;
    Some((connection, Zeroizing::new(body.to_bytes().to_vec())))
}
