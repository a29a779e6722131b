//! One HTTPS request: connect, TLS 1.3, HTTP/1.1, one JSON answer.
//!
//! aws-lc-rs offers X25519MLKEM768 first, so the key exchange is hybrid post-quantum
//! if the server supports it too. (ring has no hybrid key exchange. ureq is no shorter here:
//! its TLS also offers TLS 1.2, and does not separate a failed handshake from a failed connection.)

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use mayfly_wire::{MAX_BODY, PresharedKey, Problem};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, version::TLS13};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::server::Server;

/// Time limit for each of these: TCP, the TLS handshake, and the whole answer. Hashing a
/// password is slow on purpose, and a node under emulation is slower still.
const PATIENCE: Duration = Duration::from_secs(30);

/// The CA certificates that a server's certificate must lead to.
#[derive(Clone)]
pub(crate) struct Ca(Arc<ClientConfig>);

impl Ca {
    /// `None`: the text holds no certificate, or one that cannot be a CA.
    pub(crate) fn from_pem(pem: &str) -> Option<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.add(certificate.ok()?).ok()?;
        }
        if roots.is_empty() {
            return None;
        }
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&TLS13])
            .ok()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Some(Self(Arc::new(config)))
    }
}

/// The credentials of a request.
pub(crate) enum Authorization<'a> {
    /// No credentials: the body is enough.
    None,
    /// User name and password (RFC 7617).
    Basic(&'a str, &'a str),
    /// A pre-shared key, as a bearer token (RFC 6750).
    Bearer(&'a PresharedKey),
}

impl Authorization<'_> {
    fn header(&self) -> Result<Option<HeaderValue>, Error> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Basic(user, _) if user.contains(':') => return Err(Error::UserName),
            Self::Basic(user, password) => {
                let pair = Zeroizing::new(format!("{user}:{password}"));
                format!("Basic {}", STANDARD.encode(pair.as_bytes()))
            }
            Self::Bearer(key) => format!("Bearer {}", key.to_base64()),
        };
        let text = Zeroizing::new(text);
        let mut value = HeaderValue::from_str(&text).map_err(|_| Error::UserName)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Sends `body` as JSON and reads the answer's body.
pub(crate) async fn call<T: DeserializeOwned>(
    server: &Server,
    ca: &Ca,
    (method, path): (Method, &'static str),
    authorization: Authorization<'_>,
    body: &impl Serialize,
) -> Result<T, Error> {
    let answer = send(server, ca, (method, path), authorization, Some(body)).await?;
    serde_json::from_slice(&answer).map_err(|_| not_understood(server))
}

/// Sends `body` as JSON, and ignores the answer's body.
pub(crate) async fn tell(
    server: &Server,
    ca: &Ca,
    (method, path): (Method, &'static str),
    authorization: Authorization<'_>,
    body: &impl Serialize,
) -> Result<(), Error> {
    send(server, ca, (method, path), authorization, Some(body))
        .await
        .map(|_| ())
}

/// Sends `body` as JSON, if there is one, and returns the answer's body unparsed.
pub(crate) async fn send(
    server: &Server,
    ca: &Ca,
    (method, path): (Method, &'static str),
    authorization: Authorization<'_>,
    body: Option<&impl Serialize>,
) -> Result<Bytes, Error> {
    let text = body.map(serde_json::to_vec).transpose();
    let text = text.map_err(|_| not_understood(server))?;
    let mut request = Request::new(Full::new(Bytes::from(text.unwrap_or_default())));
    *request.method_mut() = method;
    *request.uri_mut() = hyper::Uri::from_static(path);
    let headers = request.headers_mut();
    headers.insert(HOST, host(server).ok_or_else(|| not_understood(server))?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(value) = authorization.header()? {
        headers.insert(AUTHORIZATION, value);
    }
    let stream = connect(server, ca).await?;
    timeout(PATIENCE, exchange(server, stream, request))
        .await
        .map_err(|_| no_answer(server))?
}

async fn connect(server: &Server, ca: &Ca) -> Result<TlsStream<TcpStream>, Error> {
    let not_connected = |source| Error::Connect {
        server: server.clone(),
        source,
    };
    let tcp = timeout(PATIENCE, TcpStream::connect(server.address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(not_connected)?;
    tcp.set_nodelay(true).map_err(not_connected)?;
    let tls = TlsConnector::from(ca.0.clone()).connect(server.name.clone(), tcp);
    timeout(PATIENCE, tls)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|source| Error::Tls {
            server: server.clone(),
            source,
        })
}

async fn exchange(
    server: &Server,
    stream: TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| no_answer(server))?;
    let conversation = async {
        let response =
            sender
                .send_request(request)
                .await
                .map_err(|error| match error.is_parse() {
                    true => not_understood(server),
                    false => no_answer(server),
                })?;
        judge(server, response).await
    };
    tokio::pin!(connection, conversation);
    tokio::select! {
        biased;
        answer = &mut conversation => answer,
        // The connection may end while an answer that it received is still unread.
        _ = &mut connection => conversation.await,
    }
}

async fn judge(server: &Server, response: Response<Incoming>) -> Result<Bytes, Error> {
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), MAX_BODY)
        .collect()
        .await
        .map_err(|_| not_understood(server))?
        .to_bytes();
    if status.is_success() {
        return Ok(body);
    }
    Err(Error::Refused {
        server: server.clone(),
        problem: Box::new(problem(status, &body)),
        retry_after,
    })
}

/// The problem document, or one made of the status if the body is none: a proxy answers in its
/// own words.
fn problem(status: StatusCode, body: &[u8]) -> Problem {
    let told = serde_json::from_slice::<Problem>(body).ok();
    let mut problem = told.unwrap_or_else(|| {
        let title = status.canonical_reason().unwrap_or("refused");
        Problem::new(0, "about:blank", title)
    });
    problem.status = status.as_u16();
    problem
}

fn host(server: &Server) -> Option<HeaderValue> {
    let host = match &server.name {
        ServerName::DnsName(name) => format!("{}:{}", name.as_ref(), server.address.port()),
        _ => server.address.to_string(),
    };
    HeaderValue::from_str(&host).ok()
}

fn no_answer(server: &Server) -> Error {
    Error::NoAnswer {
        server: server.clone(),
    }
}

fn not_understood(server: &Server) -> Error {
    Error::Answer {
        server: server.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::NamedGroup;

    #[test]
    fn the_hybrid_group_is_offered_first() {
        let provider = aws_lc_rs::default_provider();
        assert_eq!(
            provider.kx_groups[0].name(),
            NamedGroup::X25519MLKEM768,
            "prefer-post-quantum"
        );
    }

    #[test]
    fn an_authorization_does_not_print_itself() {
        let value = Authorization::Basic("ann", "secret").header().unwrap();
        assert_eq!(format!("{value:?}"), "Some(Sensitive)");
        assert!(Authorization::Basic("a:b", "secret").header().is_err());
    }

    #[test]
    fn a_status_without_a_document_is_still_told() {
        let told = problem(StatusCode::BAD_GATEWAY, b"<html>");
        assert_eq!((told.status, told.title.as_ref()), (502, "Bad Gateway"));
    }
}
