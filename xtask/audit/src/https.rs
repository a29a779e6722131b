//! Requests over TLS 1.3 whose secrets are known, and which can be held before their end.
//!
//! This client does only what the experiment needs: one request on each connection, a JSON body.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mayfly_host::namespace::Namespace;
use mayfly_lab::network::LINK;
use nix::sys::socket::sockopt::BindToDevice;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket,
};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, KeyLog, RootCertStore, StreamOwned};
use serde_json::Value;

use super::patience::Patience;

/// How long a server may say nothing.
const LIMIT: Duration = Duration::from_secs(25);

/// A server.
pub struct Server {
    /// Where it listens.
    pub at: SocketAddr,
    /// The name in its certificate.
    pub name: &'static str,
    /// The authority that vouches for it, in PEM.
    pub authority: String,
    /// How long it may take.
    pub patience: Patience,
}

/// A request.
pub struct Request<'a> {
    /// The method.
    pub method: &'a str,
    /// The path, from the first slash.
    pub path: &'a str,
    /// The value of `Authorization`.
    pub authorization: Option<String>,
    /// The body, if there is one.
    pub body: Option<Value>,
}

/// A request whose last byte has not been sent.
pub struct Held {
    stream: StreamOwned<ClientConnection, TcpStream>,
    last: u8,
    /// Its source address and port.
    pub from: SocketAddr,
    /// Secrets of the TLS session.
    pub secrets: Vec<Vec<u8>>,
}

impl Held {
    /// Sends a request from a namespace, beside a tunnel that is up there, and stops before the last
    /// byte.
    ///
    /// # Errors
    /// The server does not answer, or has another name.
    pub fn open(from: &Namespace, server: &Server, request: &Request<'_>) -> Result<Self> {
        let stream = from.inside(|| dial(server.at, server.patience.of(LIMIT)))?;
        let own = stream.local_addr()?;
        let secrets = Arc::new(Secrets::default());
        let mut stream = StreamOwned::new(client(server, secrets.clone())?, stream);
        let text = request.text(server.name);
        let (last, most) = text.split_last().context("an empty request")?;
        stream.write_all(most)?;
        stream.flush()?;
        let secrets = secrets.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Self {
            stream,
            last: *last,
            from: own,
            secrets: secrets.clone(),
        })
    }

    /// Sends the rest, and returns the body of the answer.
    ///
    /// # Errors
    /// The status is not 2xx.
    pub fn finish(self) -> Result<String> {
        let (status, body) = self.answer()?;
        ensure!((200..300).contains(&status), "refused ({status}): {body}");
        Ok(body)
    }

    /// Sends the rest, and returns status and body of the answer.
    ///
    /// # Errors
    /// There is no answer.
    pub fn answer(mut self) -> Result<(u16, String)> {
        self.stream.write_all(&[self.last])?;
        let mut answer = Vec::new();
        // Some servers close without TLS's close_notify.
        let _ = self.stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        Ok((status.parse().context("no HTTP")?, body.to_owned()))
    }
}

impl Request<'_> {
    fn text(&self, host: &str) -> Vec<u8> {
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        let authorization = self.authorization.as_ref();
        let authorization =
            authorization.map_or_else(String::new, |value| format!("Authorization: {value}\r\n"));
        format!(
            "{} {} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.method,
            self.path,
            body.len()
        )
        .into_bytes()
    }
}

/// Connects over the link, even if a tunnel has the default route (SO_BINDTODEVICE, socket(7)).
fn dial(to: SocketAddr, limit: Duration) -> Result<TcpStream> {
    let family = if to.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, BindToDevice, &LINK.into())?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).context("no answer")?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn client(server: &Server, secrets: Arc<Secrets>) -> Result<ClientConnection> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(server.authority.as_bytes()) {
        roots.add(certificate.context("no authority")?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.key_log = secrets;
    let name = ServerName::try_from(server.name)?;
    Ok(ClientConnection::new(Arc::new(config), name)?)
}

/// Keeps in memory what a key log would hold.
#[derive(Default)]
struct Secrets(Mutex<Vec<Vec<u8>>>);

impl KeyLog for Secrets {
    fn log(&self, _label: &str, _client_random: &[u8], secret: &[u8]) {
        let mut secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.push(secret.to_vec());
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_the_length_of_its_body() {
        let request = Request {
            method: "POST",
            path: "/v1/peers",
            authorization: Some("Bearer x".to_owned()),
            body: Some(serde_json::json!({"a": 1})),
        };
        let text = String::from_utf8(request.text("node.example")).unwrap();
        assert!(text.starts_with("POST /v1/peers HTTP/1.1\r\nHost: node.example\r\n"));
        assert!(text.contains("\r\nAuthorization: Bearer x\r\n"));
        assert!(text.ends_with("\r\nContent-Length: 7\r\nConnection: close\r\n\r\n{\"a\":1}"));
    }
}
