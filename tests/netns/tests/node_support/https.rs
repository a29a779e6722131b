//! One request over TLS 1.3, written by hand: what a client of another make could do.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned};
use serde_json::Value;

/// A server, and the authority that certifies it.
#[derive(Clone)]
pub(crate) struct Server {
    pub address: SocketAddr,
    pub name: String,
    pub ca: String,
}

/// The answer to a request.
pub(crate) struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    pub group: NamedGroup,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// The last part of a problem's type.
    pub(crate) fn problem(&self) -> String {
        assert!(
            self.head.contains("application/problem+json"),
            "{}",
            self.head
        );
        let body = self.json();
        let kind = body["type"].as_str().expect("a problem has a type");
        kind.trim_start_matches("/problems/").to_owned()
    }
}

/// Every key exchange that aws-lc-rs has, hybrid first.
pub(crate) fn all_groups() -> Vec<&'static dyn SupportedKxGroup> {
    aws_lc_rs::default_provider().kx_groups
}

/// What a client from some years ago offers.
pub(crate) fn classical_groups() -> Vec<&'static dyn SupportedKxGroup> {
    vec![aws_lc_rs::kx_group::X25519]
}

/// Sends one request and reads the answer to its end.
pub(crate) fn request(
    server: &Server,
    groups: Vec<&'static dyn SupportedKxGroup>,
    line: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<Answer> {
    let mut stream = connect(server, groups)?;
    let mut head = format!(
        "{line} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\nconnection: close\r\n",
        server.name,
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // The server may answer, and close, before it has read all of a body that is too long.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let group = stream
        .conn
        .negotiated_key_exchange_group()
        .map(|group| group.name());
    if answer.is_empty() {
        read?;
    }
    parse(&answer, group.expect("a handshake was done"))
}

/// Finishes the handshake and begins a head of `length` bytes that has no end. It gives up when the
/// server does.
pub(crate) fn endless(
    server: &Server,
    stream: TcpStream,
    length: usize,
) -> StreamOwned<ClientConnection, TcpStream> {
    let connection = client(server, classical_groups());
    let mut stream = StreamOwned::new(connection, stream);
    let patience = Some(Duration::from_secs(5));
    let _ = stream.sock.set_nonblocking(false);
    let _ = stream.sock.set_read_timeout(patience);
    let _ = stream.sock.set_write_timeout(patience);
    let _ = stream.write_all(b"POST /v1/peers HTTP/1.1\r\na: ");
    let _ = stream.write_all(&vec![b'a'; length]);
    stream
}

fn connect(
    server: &Server,
    groups: Vec<&'static dyn SupportedKxGroup>,
) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let connection = client(server, groups);
    let stream = TcpStream::connect_timeout(&server.address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    Ok(StreamOwned::new(connection, stream))
}

fn client(server: &Server, groups: Vec<&'static dyn SupportedKxGroup>) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(server.ca.as_bytes()) {
        roots.add(certificate.expect("PEM")).expect("an authority");
    }
    let provider = CryptoProvider {
        kx_groups: groups,
        ..aws_lc_rs::default_provider()
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13])
        .expect("TLS 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(server.name.clone()).expect("a name");
    ClientConnection::new(Arc::new(config), name).expect("a client")
}

fn parse(answer: &[u8], group: NamedGroup) -> std::io::Result<Answer> {
    let broken = || std::io::Error::other("not an HTTP answer");
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or_else(broken)?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(broken)?,
        head,
        body: answer[end + 4..].to_vec(),
        group,
    })
}
