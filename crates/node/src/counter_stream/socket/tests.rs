use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream as ServerStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::{accept_async, client_async_with_config};

use super::*;

type Service = WebSocketStream<ServerStream<TcpStream>>;

/// A connection on loopback, and its other end.
async fn connected() -> (Socket, Service) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let node = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(client));
        let tls = connector.connect(name, tcp).await.unwrap();
        let opened = client_async_with_config("wss://localhost/", tls, Some(config())).await;
        Socket::new(opened.unwrap().0)
    };
    let service = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(server));
        accept_async(acceptor.accept(tcp).await.unwrap())
            .await
            .unwrap()
    };
    tokio::join!(node, service)
}

#[tokio::test]
async fn a_message_is_read_while_another_cannot_be_sent() {
    let (mut node, mut service) = connected().await;
    // The service reads nothing, until the node can send no more.
    let a_while = Duration::from_millis(500);
    loop {
        node.send(&[NodeFrame::Synced {}]).await;
        match timeout(a_while, node.next()).await {
            Ok(Event::Sent) => {}
            Ok(_) => panic!("nothing else happens"),
            Err(_) => break,
        }
    }
    assert!(node.is_sending() && node.stuck_at().is_some());
    let drain = ServiceFrame::Drain { on: true };
    let text = Message::text(message::encode(&[drain]));
    service.send(text).await.unwrap();
    let Event::Message(frames) = node.next().await else {
        panic!("the message is not read");
    };
    assert_eq!(frames, [drain]);
    // What could not be sent is sent when it is read.
    let read = tokio::spawn(async move { while service.next().await.is_some() {} });
    assert!(matches!(node.next().await, Event::Sent));
    assert!(!node.is_sending());
    read.abort();
}
