//! Clients: requests over one connection, one after the other.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::service::{PASSWORD, Way};

/// A connection.
pub(crate) struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn connect(way: Way) -> Self {
        let tcp = TcpStream::connect(way.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let name = "localhost".try_into().unwrap();
        let tls = TlsConnector::from(way.tls)
            .connect(name, tcp)
            .await
            .unwrap();
        let (sender, connection) = handshake(TokioIo::new(tls)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// Asks for tokens for `time`. Returns the number of tokens.
    pub(crate) async fn tokens(mut self, time: Duration) -> usize {
        let until = Instant::now() + time;
        let mut tokens = 0;
        while Instant::now() < until {
            let status = self.call("POST", "/v1/tokens", "user1", PASSWORD).await;
            assert_eq!(status, StatusCode::OK);
            tokens += 1;
        }
        tokens
    }

    /// The time until a wrong password is refused for this name.
    pub(crate) async fn refused(&mut self, name: &str) -> Duration {
        let from = Instant::now();
        let status = self
            .call("GET", "/v1/account", name, "a wrong password")
            .await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        from.elapsed()
    }

    async fn call(&mut self, method: &str, path: &str, name: &str, password: &str) -> StatusCode {
        let pair = STANDARD.encode(format!("{name}:{password}"));
        let body = if method == "POST" {
            r#"{"anyway":true}"#
        } else {
            ""
        };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("authorization", format!("Basic {pair}"))
            .body(Full::new(Bytes::from_static(body.as_bytes())));
        self.0.ready().await.unwrap();
        let answer = self.0.send_request(request.unwrap()).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    }
}
