//! A service in this process on loopback, the program beside it, and a small client.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod live;
pub(crate) mod process;

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use mayfly_accounts::config::Config;
use mayfly_accounts::start;
use mayfly_counter::constants::MESSAGE_FRAMES;
use mayfly_counter::message;
use mayfly_kit::postgres::Cluster;
use mayfly_wire::admission::AdmissionResponse;
use mayfly_wire::counter::{Delta, Epoch, NodeFrame, ServiceFrame, VERSION};
use mayfly_wire::token::Claims;
use mayfly_wire::{TICKET_LEN, Ticket};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

pub(crate) const PASSWORD: &str = "a long password";
pub(crate) const ANN: Option<(&str, &str)> = Some(("ann", PASSWORD));

/// Whether the accounts of this suite are in PostgreSQL.
pub(crate) fn on_postgres() -> bool {
    env!("CARGO_CRATE_NAME") == "on_postgres"
}

/// The connection string of a fresh database, if this suite has its accounts in one.
fn database() -> Option<String> {
    on_postgres().then(|| Cluster::shared().database())
}

/// Lines of configuration for a database.
fn lines(database: Option<&String>) -> String {
    let lines = database.map(|words| format!("[store]\npostgres = \"{words}\"\n"));
    lines.unwrap_or_default()
}

/// Lines of configuration for a fresh store of this suite's kind.
pub(crate) fn store() -> String {
    lines(database().as_ref())
}

/// A service with an authority and no account.
pub(crate) struct Service {
    pub directory: TempDir,
    pub address: SocketAddr,
    pub ca: String,
    /// The connection string of its database, if that is on a server.
    database: Option<String>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// The answer to a request.
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts that this is a problem document of that status and name.
    pub(crate) fn is_problem(&self, status: u16, name: &str) {
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        assert_eq!(json["type"], format!("/problems/{name}"));
        assert_eq!(json["status"], status);
        assert_eq!(self.status.as_u16(), status);
    }
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more lines of configuration, such as limits.
    pub(crate) async fn start_with(more: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let data = directory.path().join("data");
        let database = database();
        let text = format!(
            "listen = \"127.0.0.1:0\"\ndata = {data:?}\nnames = [\"localhost\"]\n{more}{}",
            lines(database.as_ref())
        );
        std::fs::write(directory.path().join("accounts.toml"), text).unwrap();
        assert!(program(&directory, &["ca", "init"], "").status.success());
        let ca = std::fs::read_to_string(data.join("ca.pem")).unwrap();
        let (address, stop, task) = run(&directory).await;
        let service = Self {
            directory,
            address,
            ca,
            database,
            stop: Some(stop),
            task,
        };
        service.counts().await;
        service
    }

    /// Waits until it counts. On SQLite it counts at once, as no other process could.
    pub(crate) async fn counts(&self) {
        if !on_postgres() {
            return;
        }
        self.create("waits");
        let waits = Some(("waits", PASSWORD));
        let late = Instant::now() + Duration::from_secs(60);
        while self.get("/v1/account", waits).await.status == 503 {
            assert!(Instant::now() < late, "nobody counts");
        }
        self.program(&["account", "erase", "waits"]);
    }

    /// A service that a process of its own serves at `address`, from the files in `directory`.
    pub(crate) fn elsewhere(directory: TempDir, address: SocketAddr) -> Self {
        let ca = std::fs::read_to_string(directory.path().join("data/ca.pem")).unwrap();
        Self {
            directory,
            address,
            ca,
            database: None,
            stop: None,
            task: tokio::spawn(async {}),
        }
    }

    /// Stops and starts again, on another port.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let (address, stop, task) = run(&self.directory).await;
        (self.address, self.stop, self.task) = (address, Some(stop), task);
        self.counts().await;
    }

    /// Stops, and waits for the end.
    pub(crate) async fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        (&mut self.task).await.unwrap();
    }

    /// Runs the program beside the service.
    pub(crate) fn program(&self, words: &[&str]) -> String {
        let output = program(&self.directory, words, "");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// An account `ann` with a subscription of 30 days.
    pub(crate) fn create_ann(&self) {
        self.create("ann");
    }

    /// An account with a subscription of 30 days.
    pub(crate) fn create(&self, name: &str) {
        let words = [
            "account",
            "create",
            name,
            "--password-stdin",
            "--subscription-days",
            "30",
        ];
        assert!(program(&self.directory, &words, PASSWORD).status.success());
    }

    pub(crate) async fn get(&self, path: &str, user: Option<(&str, &str)>) -> Answer {
        self.call("GET", path, user, "").await
    }

    pub(crate) async fn post(&self, path: &str, user: Option<(&str, &str)>, body: Value) -> Answer {
        self.call("POST", path, user, &body.to_string()).await
    }

    pub(crate) async fn patch(&self, user: Option<(&str, &str)>, body: Value) -> Answer {
        self.call("PATCH", "/v1/account", user, &body.to_string())
            .await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        user: Option<(&str, &str)>,
        body: &str,
    ) -> Answer {
        let mut headers = vec![("content-type", "application/json".to_owned())];
        headers.extend(authorization(user));
        self.send(method, path, &headers, body).await
    }

    /// Reports a payment as the shop does.
    pub(crate) async fn pay(&self, key: &str, payment: Value) -> Answer {
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("Bearer {key}")),
        ];
        self.send("POST", "/v1/payments", &headers, &payment.to_string())
            .await
    }

    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Answer {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    /// `None`: the service ended before it answered.
    pub(crate) async fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(body.to_owned())));
        self.exchange(None, request.unwrap()).await
    }

    /// Sends a request with a client certificate.
    pub(crate) async fn call_as(
        &self,
        identity: &Identity,
        method: &str,
        path: &str,
        body: &str,
    ) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .body(Full::new(Bytes::from(body.to_owned())));
        let answer = self.exchange(Some(identity), request.unwrap()).await;
        answer.unwrap()
    }

    async fn exchange(
        &self,
        identity: Option<&Identity>,
        request: Request<Full<Bytes>>,
    ) -> Option<Answer> {
        let tls = self.connect(identity).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls))
            .await
            .ok()?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        connection.abort();
        Some(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    pub(crate) async fn connect(
        &self,
        identity: Option<&Identity>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        TlsConnector::from(self.tls(identity))
            .connect("localhost".try_into().unwrap(), tcp)
            .await
    }

    /// The TLS settings of a client or a node of this service.
    pub(crate) fn tls(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(Identity { certificate, key }) => config
                .with_client_auth_cert(vec![certificate.clone()], key.clone_key())
                .unwrap(),
        };
        Arc::new(config)
    }

    /// A ticket of a fresh token.
    pub(crate) async fn ticket(&self) -> Ticket {
        self.ticket_of(ANN).await
    }

    /// A ticket of a fresh token of that user.
    pub(crate) async fn ticket_of(&self, user: Option<(&str, &str)>) -> Ticket {
        let answer = self.post("/v1/tokens", user, json!({"anyway": true})).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        claims(answer.json()["token"].as_str().unwrap()).ticket
    }

    /// The number of ann's devices in the record.
    pub(crate) async fn devices(&self) -> u64 {
        self.get("/v1/account", ANN).await.json()["devices"]
            .as_u64()
            .unwrap()
    }

    /// The files of the service and of its database server that contain some words.
    pub(crate) fn found(&self, words: &str) -> Vec<PathBuf> {
        let mut found = found(&self.directory.path().join("data"), words.as_bytes());
        if on_postgres() && Cluster::shared().holds(words.as_bytes()) {
            found.push(Cluster::shared().directory.clone());
        }
        found
    }

    /// Its files. If its accounts are in PostgreSQL, also the rows, with the transaction that wrote
    /// each and its place.
    pub(crate) fn content(&self) -> (BTreeMap<PathBuf, Vec<u8>>, Option<String>) {
        let rows = self.database.as_ref().map(|words| {
            let (_, name) = words.rsplit_once('=').unwrap();
            let cluster = Cluster::shared();
            cluster.sql(name, "SELECT xmin, ctid, account FROM account")
                + &cluster.sql(name, "SELECT xmin, ctid, node FROM node")
        });
        (files(&self.directory.path().join("data")), rows)
    }

    /// Registers a node and has a key of the node certified.
    pub(crate) async fn admit(&self, name: &str) -> Identity {
        let secret = self.program(&["ca", "node", name]);
        let (key, csr) = signing_request("whatever.example");
        let answer = self
            .post(
                "/v1/nodes",
                None,
                json!({"node": name, "secret": secret, "csr": csr}),
            )
            .await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let admission: AdmissionResponse = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(admission.ca, self.ca);
        Identity {
            certificate: CertificateDer::from_pem_slice(admission.certificate.as_bytes()).unwrap(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

async fn run(directory: &TempDir) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let config = Config::read(&directory.path().join("accounts.toml")).unwrap();
    let listener = start::bind(&config).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let stop = async { stopped.await.unwrap_or(()) };
        start::serve(&config, listener, stop).await.unwrap();
    });
    (address, stop, task)
}

/// Every file under a directory, with its bytes.
pub(crate) fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(path).unwrap());
        }
    }
    found
}

/// The files that contain some bytes.
fn found(directory: &Path, needle: &[u8]) -> Vec<PathBuf> {
    let holds = |bytes: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    let files = files(directory).into_iter();
    let found = files.filter(|(_, bytes)| holds(bytes));
    found.map(|(path, _)| path).collect()
}

/// The TCP port on which a process listens, once it does (proc(5), `/proc/net/tcp`).
pub(crate) fn listening_port(process: u32) -> Option<u16> {
    let links = std::fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let files = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
    let sockets: Vec<String> = files.map(|file| file.display().to_string()).collect();
    let tcp = std::fs::read_to_string("/proc/net/tcp").unwrap();
    tcp.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, state, inode) = (words.get(1)?, words.get(3)?, words.get(9)?);
        let ours = *state == "0A" && sockets.contains(&format!("socket:[{inode}]"));
        let port = address.split_once(':')?.1;
        ours.then(|| u16::from_str_radix(port, 16).unwrap())
    })
}

/// The header that authenticates a user.
pub(crate) fn authorization(user: Option<(&str, &str)>) -> Option<(&'static str, String)> {
    let (name, password) = user?;
    let pair = STANDARD.encode(format!("{name}:{password}"));
    Some(("authorization", format!("Basic {pair}")))
}

/// Runs the program to its end.
pub(crate) fn program(directory: &TempDir, words: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayfly-accounts"))
        .arg("--config")
        .arg(directory.path().join("accounts.toml"))
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// A TLS client's certificate and key.
pub(crate) struct Identity {
    pub certificate: CertificateDer<'static>,
    pub key: PrivateKeyDer<'static>,
}

/// A key, and a signing request for it that asks for `name`.
pub(crate) fn signing_request(name: &str) -> (KeyPair, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new([name.to_owned()]).unwrap();
    let csr = params.serialize_request(&key).unwrap().pem().unwrap();
    (key, csr)
}

/// The claims of a token, unverified.
pub(crate) fn claims(token: &str) -> Claims {
    let body = token.split('.').nth(1).unwrap();
    let json = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(body)
        .unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// A node's end of a stream. It sends when it is told to, and not on ticks.
pub(crate) struct Node {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    n: u64,
    /// The frames of messages that have come and have not been heard.
    unheard: VecDeque<ServiceFrame>,
}

impl Node {
    /// Connects, sends `hello`, and waits for `welcome`.
    pub(crate) async fn connect(service: &Service, identity: &Identity) -> Self {
        let mut node = Self::open(service, identity).await;
        assert!(matches!(node.hear().await, ServiceFrame::Welcome { .. }));
        node
    }

    /// Connects and sends `hello`.
    pub(crate) async fn open(service: &Service, identity: &Identity) -> Self {
        let mut node = Self::silent(service, identity).await;
        node.hello().await;
        node
    }

    /// Connects.
    pub(crate) async fn silent(service: &Service, identity: &Identity) -> Self {
        let tls = service.connect(Some(identity)).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async("wss://localhost/v1/counter", tls)
            .await
            .unwrap();
        Self {
            socket,
            n: 0,
            unheard: VecDeque::new(),
        }
    }

    pub(crate) async fn hello(&mut self) {
        self.send(NodeFrame::Hello {
            version: VERSION,
            epoch: Epoch([9; 16]),
        })
        .await;
    }

    /// Says that the node is alive.
    pub(crate) async fn beat(&mut self) {
        self.say(&message::encode::<NodeFrame>(&[])).await;
    }

    pub(crate) async fn send(&mut self, frame: NodeFrame) {
        self.say(&message::encode(&[frame])).await;
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Reports, and returns whether a +1 was granted.
    pub(crate) async fn report(&mut self, ticket: Ticket, delta: Delta) -> Option<bool> {
        let n = self.n;
        self.n += 1;
        self.send(NodeFrame::Report { n, ticket, delta }).await;
        match delta {
            Delta::Down => None,
            Delta::Up => match self.hear().await {
                ServiceFrame::Verdict { n: of, granted } => {
                    assert_eq!(of, n);
                    Some(granted)
                }
                other => panic!("{other:?}"),
            },
        }
    }

    /// Asks for as many devices of no account, and hears nothing meanwhile. Then hears the verdicts.
    pub(crate) async fn ask_for_nobody(&mut self, count: usize) {
        let first = self.n;
        self.n += count as u64;
        let ticket = Ticket([0; TICKET_LEN]);
        let asks: Vec<_> = (first..self.n)
            .map(|n| NodeFrame::Report {
                n,
                ticket,
                delta: Delta::Up,
            })
            .collect();
        for frames in asks.chunks(MESSAGE_FRAMES) {
            self.say(&message::encode(frames)).await;
        }
        for n in first..self.n {
            let granted = false;
            assert_eq!(self.hear().await, ServiceFrame::Verdict { n, granted });
        }
    }

    /// Waits until the service has read everything that was sent: it answers in order.
    pub(crate) async fn settle(&mut self) {
        let of_nobody = Ticket([0; TICKET_LEN]);
        assert_eq!(self.report(of_nobody, Delta::Up).await, Some(false));
    }

    pub(crate) async fn hear(&mut self) -> ServiceFrame {
        loop {
            if let Some(frame) = self.unheard.pop_front() {
                return frame;
            }
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => {
                    let frames: Vec<ServiceFrame> = message::decode(&text).unwrap();
                    self.unheard.extend(frames);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits for the end of the stream.
    pub(crate) async fn end(&mut self) -> CloseFrame {
        loop {
            if let Message::Close(frame) = self.socket.next().await.unwrap().unwrap() {
                return frame.unwrap();
            }
        }
    }
}
