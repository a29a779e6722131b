//! What nodes see: admission, and the counter through a real WebSocket.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test's helpers fail by panicking"
)]

mod common;

use std::collections::BTreeMap;
use std::path::Path;

use common::{ANN, Identity, Node, Service, signing_request};
use mayfly_wire::counter::{Delta, NodeFrame};
use mayfly_wire::{TICKET_LEN, Ticket};
use rcgen::KeyPair;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::json;

/// Every file under a directory, with its bytes.
fn files(directory: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
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

#[tokio::test]
async fn the_counter_goes_0_1_0() {
    let service = Service::start().await;
    service.create_ann();
    let ticket = service.ticket().await;
    let mut node = Node::connect(&service, &service.admit("node-1").await).await;
    assert_eq!(service.devices().await, 0);
    assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    assert_eq!(service.devices().await, 1);
    node.report(ticket, Delta::Down).await;
    node.settle().await;
    assert_eq!(service.devices().await, 0);
}

#[tokio::test]
async fn a_connect_changes_no_byte_of_the_store() {
    let mut service = Service::start().await;
    service.create_ann();
    let identity = service.admit("node-1").await;
    let data = service.directory.path().join("data");
    let before = files(&data);
    let ticket = service.ticket().await;
    let mut node = Node::connect(&service, &identity).await;
    assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    node.report(ticket, Delta::Down).await;
    node.settle().await;
    assert!(files(&data) == before);
    service.stop().await;
    assert!(files(&data) == before);
}

#[tokio::test]
async fn a_fifth_device_is_refused_unless_anyway() {
    let service = Service::start().await;
    service.create_ann();
    let ticket = service.ticket().await;
    let mut node = Node::connect(&service, &service.admit("node-1").await).await;
    for _ in 0..4 {
        assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    }
    assert_eq!(node.report(ticket, Delta::Up).await, Some(false));
    let refused = service.post("/v1/tokens", ANN, json!({})).await;
    refused.is_problem(409, "devices-full");
    assert_eq!(refused.json()["title"], "4 of 4 devices connected");
    assert_eq!(
        service
            .post("/v1/tokens", ANN, json!({"anyway": true}))
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_ticket_of_another_service_is_denied_and_closes_nothing() {
    let service = Service::start().await;
    let mut node = Node::connect(&service, &service.admit("node-1").await).await;
    assert_eq!(
        node.report(Ticket([5; TICKET_LEN]), Delta::Up).await,
        Some(false)
    );
    node.report(Ticket([5; TICKET_LEN]), Delta::Down).await;
    node.settle().await;
}

#[tokio::test]
async fn a_ticket_still_counts_after_a_restart_of_the_service() {
    let mut service = Service::start().await;
    service.create_ann();
    let ticket = service.ticket().await;
    let identity = service.admit("node-1").await;
    service.restart().await;
    let mut node = Node::connect(&service, &identity).await;
    assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    node.send(NodeFrame::Synced {}).await;
    node.settle().await;
    assert_eq!(service.devices().await, 1);
}

#[tokio::test]
async fn what_is_no_frame_closes_the_stream_with_a_reason() {
    let service = Service::start().await;
    let identity = service.admit("node-1").await;
    let long = " ".repeat(2000);
    for text in ["", "{}", r#"{"type":"ping","more":1}"#, &long] {
        let mut node = Node::connect(&service, &identity).await;
        node.say(text).await;
        assert!(!node.end().await.reason.is_empty());
    }
}

#[tokio::test]
async fn a_stream_without_a_certificate_is_refused() {
    let service = Service::start().await;
    service
        .get("/v1/counter", None)
        .await
        .is_problem(403, "certificate-missing");
    let tls = service.connect(None).await.unwrap();
    let refused = tokio_tungstenite::client_async("wss://localhost/v1/counter", tls).await;
    assert!(refused.unwrap_err().to_string().contains("403"));
}

#[tokio::test]
async fn a_certificate_of_another_authority_does_not_connect() {
    let service = Service::start().await;
    let key = KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(["node-1".to_owned()])
        .unwrap()
        .self_signed(&key)
        .unwrap();
    let identity = Identity {
        certificate: own.der().clone(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    };
    // In TLS 1.3 the client hears of it when it reads.
    let refused = async {
        let tls = service.connect(Some(&identity)).await.map_err(|_| ())?;
        tokio_tungstenite::client_async("wss://localhost/v1/counter", tls)
            .await
            .map(|_| ())
            .map_err(|_| ())
    };
    assert_eq!(refused.await, Err(()));
}

#[tokio::test]
async fn only_a_registered_node_with_its_secret_is_admitted_and_under_its_own_name() {
    let service = Service::start().await;
    let secret = service.program(&["ca", "node", "node-1"]);
    let (_, csr) = signing_request("localhost");
    let admission =
        |node: &str, secret: &str, csr: &str| json!({"node": node, "secret": secret, "csr": csr});
    for (node, secret) in [("node-1", "another"), ("node-2", secret.as_str())] {
        let answer = service
            .post("/v1/nodes", None, admission(node, secret, &csr))
            .await;
        answer.is_problem(401, "node-unknown");
    }
    let garbage = service
        .post("/v1/nodes", None, admission("node-1", &secret, "x"))
        .await;
    garbage.is_problem(400, "csr-malformed");
    let identity = service.admit("node-1").await;
    let certificate = webpki::EndEntityCert::try_from(&identity.certificate).unwrap();
    assert_eq!(
        certificate.valid_dns_names().collect::<Vec<_>>(),
        ["node-1"]
    );
}

#[tokio::test]
async fn a_stop_ends_open_streams() {
    let mut service = Service::start().await;
    let mut node = Node::connect(&service, &service.admit("node-1").await).await;
    service.stop().await;
    assert_eq!(u16::from(node.end().await.code), 1001);
}
