//! What nodes see: admission, and the counter through a real WebSocket.

use crate::common::{ANN, Identity, Node, Service, signing_request};
use mayfly_counter::constants::{MESSAGE_FRAMES, MESSAGES_A_TICK};
use mayfly_wire::counter::{Delta, NodeFrame, ServiceFrame};
use mayfly_wire::{TICKET_LEN, Ticket};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, UnixTime};
use serde_json::json;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;

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
    let before = service.content();
    let ticket = service.ticket().await;
    let mut node = Node::connect(&service, &identity).await;
    assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    node.report(ticket, Delta::Down).await;
    node.settle().await;
    assert!(service.content() == before);
    service.stop().await;
    assert!(service.content() == before);
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
    let more = format!("{:<1024}", r#"[{"type":"synced","more":1}]"#);
    for text in ["", "[]", &more, &long] {
        let mut node = Node::connect(&service, &identity).await;
        node.say(text).await;
        let closed = node.end().await;
        assert_eq!(u16::from(closed.code), 4000);
        assert!(!closed.reason.is_empty());
    }
}

#[tokio::test]
async fn a_node_of_the_first_version_is_told_that_this_is_another() {
    let service = Service::start().await;
    let identity = service.admit("node-1").await;
    let mut node = Node::silent(&service, &identity).await;
    node.say(r#"{"type":"hello","epoch":"CQkJCQkJCQkJCQkJCQkJCQ=="}"#)
        .await;
    let closed = node.end().await;
    assert_eq!(u16::from(closed.code), 4006);
    assert!(closed.reason.contains("another version"));
}

#[tokio::test]
async fn a_node_that_asks_more_than_it_hears_is_answered_when_it_hears() {
    let service = Service::start().await;
    let mut node = Node::connect(&service, &service.admit("node-1").await).await;
    // More than the service reads without an answer on the way: three ticks of a full node.
    node.ask_for_nobody(3 * MESSAGES_A_TICK * MESSAGE_FRAMES)
        .await;
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
    // In TLS 1.3 the client learns of the refusal when it reads.
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
        answer.is_problem(403, "node-unknown");
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
async fn a_nodes_certificate_outlives_a_day_for_nobody() {
    let service = Service::start().await;
    let secret = service.program(&["ca", "node", "node-1"]);
    let (_, csr) = signing_request("node-1");
    let admission = json!({"node": "node-1", "secret": secret, "csr": csr});
    let answer = service.post("/v1/nodes", None, admission).await.json();
    let pem = answer["certificate"].as_str().unwrap();
    let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    let certificate = webpki::EndEntityCert::try_from(&certificate).unwrap();
    let ca = CertificateDer::from_pem_slice(answer["ca"].as_str().unwrap().as_bytes()).unwrap();
    let anchor = webpki::anchor_from_trusted_cert(&ca).unwrap();
    let is_good_after = |hours: u64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let verified = certificate.verify_for_usage(
            &[webpki::aws_lc_rs::ECDSA_P256_SHA256],
            std::slice::from_ref(&anchor),
            &[],
            UnixTime::since_unix_epoch(now + Duration::from_secs(hours * 3600)),
            webpki::KeyUsage::server_auth(),
            None,
            None,
        );
        verified.is_ok()
    };
    assert!(is_good_after(23));
    assert!(!is_good_after(25));
}

#[tokio::test]
async fn after_an_erasure_the_nodes_that_count_it_report_again_and_are_denied() {
    let service = Service::start().await;
    service.create_ann();
    service.program(&["account", "create", "bob"]);
    let ticket = service.ticket().await;
    let identity = service.admit("node-1").await;
    let mut node = Node::connect(&service, &identity).await;
    let mut other = Node::connect(&service, &service.admit("node-2").await).await;
    assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    let answer = service.call("DELETE", "/v1/account", ANN, "").await;
    assert_eq!(answer.status, 204);
    let closed = node.end().await;
    assert_eq!(u16::from(closed.code), 4005);
    assert!(!closed.reason.is_empty());
    let mut node = Node::connect(&service, &identity).await;
    assert_eq!(node.report(ticket, Delta::Up).await, Some(false));
    node.send(NodeFrame::Synced {}).await;
    node.settle().await;
    // The stream of a node that counts none of its devices stays open.
    other.settle().await;
}

#[tokio::test]
async fn a_stream_that_breaks_the_protocol_is_closed_and_its_devices_count_on_for_a_while() {
    let service = Service::start().await;
    service.create_ann();
    let ticket = service.ticket().await;
    let identity = service.admit("node-1").await;
    let mut node = Node::connect(&service, &identity).await;
    assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    node.hello().await;
    let closed = node.end().await;
    assert_eq!(u16::from(closed.code), 4000);
    assert!(!closed.reason.is_empty());
    assert_eq!(service.devices().await, 1);
    let mut node = Node::connect(&service, &identity).await;
    assert_eq!(node.report(ticket, Delta::Up).await, Some(true));
    node.send(NodeFrame::Synced {}).await;
    node.settle().await;
    assert_eq!(service.devices().await, 1);
}

#[tokio::test]
async fn a_revoked_node_is_neither_admitted_nor_counted() {
    let service = Service::start().await;
    let identity = service.admit("node-1").await;
    Node::connect(&service, &identity).await;
    service.program(&["ca", "revoke", "node-1"]);
    assert_eq!(refusal(&service, &identity).await, 403);
    let (_, csr) = signing_request("node-1");
    let admission = json!({"node": "node-1", "secret": "whatever", "csr": csr});
    let answer = service.post("/v1/nodes", None, admission).await;
    answer.is_problem(403, "node-unknown");
}

#[tokio::test]
async fn a_node_is_told_to_drain_within_a_minute_and_on_each_stream_before_its_welcome() {
    const DRAIN: ServiceFrame = ServiceFrame::Drain { on: true };
    let service = Service::start().await;
    let identity = service.admit("node-1").await;
    let mut node = Node::connect(&service, &identity).await;
    node.send(NodeFrame::Synced {}).await;
    service.program(&["ca", "drain", "node-1"]);
    let told = timeout(Duration::from_secs(65), async {
        // A node that sends nothing is taken for dead.
        loop {
            node.beat().await;
            if let Ok(frame) = timeout(Duration::from_secs(1), node.hear()).await {
                return frame;
            }
        }
    });
    assert_eq!(told.await.ok(), Some(DRAIN));
    let mut node = Node::open(&service, &identity).await;
    assert_eq!(node.hear().await, DRAIN);
    assert!(matches!(node.hear().await, ServiceFrame::Welcome { .. }));
    service.program(&["ca", "admit", "node-1"]);
    Node::connect(&service, &identity).await;
}

#[tokio::test]
async fn a_certificate_of_a_former_registration_is_taken_no_more() {
    let service = Service::start().await;
    let former = service.admit("node-1").await;
    service.program(&["ca", "revoke", "node-1"]);
    let present = service.admit("node-1").await;
    assert_eq!(refusal(&service, &former).await, 403);
    Node::connect(&service, &present).await;
    // A new secret is a new registration, too: the old secret may have leaked.
    service.program(&["ca", "node", "node-1"]);
    assert_eq!(refusal(&service, &present).await, 403);
}

#[tokio::test]
async fn two_boots_under_one_registration_have_certificates_of_their_own() {
    let service = Service::start().await;
    let secret = service.program(&["ca", "node", "node-1"]);
    let serial = async || {
        let (_, csr) = signing_request("node-1");
        let admission = json!({"node": "node-1", "secret": secret, "csr": csr});
        let answer = service.post("/v1/nodes", None, admission).await.json();
        let pem = answer["certificate"].as_str().unwrap().to_owned();
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let certificate = webpki::EndEntityCert::try_from(&der).unwrap();
        certificate.serial().to_vec()
    };
    let (one, two) = (serial().await, serial().await);
    assert_eq!((one.len(), two.len()), (17, 17));
    assert_eq!(one[..9], two[..9]);
    assert_ne!(one[9..], two[9..]);
}

#[tokio::test]
async fn a_certificate_can_be_issued_by_hand() {
    let service = Service::start().await;
    service.program(&["ca", "node", "node-1"]);
    let (key, csr) = signing_request("whatever.example");
    let path = service.directory.path().join("node.csr");
    std::fs::write(&path, csr).unwrap();
    let pem = service.program(&["ca", "issue", "node-1", "--csr", path.to_str().unwrap()]);
    let identity = Identity {
        certificate: CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(),
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    };
    Node::connect(&service, &identity).await;
}

/// The status with which a stream is refused.
async fn refusal(service: &Service, identity: &Identity) -> u16 {
    let tls = service.connect(Some(identity)).await.unwrap();
    match tokio_tungstenite::client_async("wss://localhost/v1/counter", tls).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stop_ends_open_streams() {
    let mut service = Service::start().await;
    let mut node = Node::connect(&service, &service.admit("node-1").await).await;
    service.stop().await;
    assert_eq!(u16::from(node.end().await.code), 1001);
}
