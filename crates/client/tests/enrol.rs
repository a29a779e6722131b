//! The built `mayfly` against a server that plays the account service and the node.
#![allow(
    clippy::unwrap_used,
    reason = "a set-up that fails is a test that fails"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{NamedGroup, ServerConfig, ServerConnection, StreamOwned, version::TLS13};
use serde_json::{Value, json};

const NAME: &str = "fra-1.example";

/// The request that arrived in one connection.
struct Asked {
    group: NamedGroup,
    head: String,
    body: Value,
}

/// A server that answers one connection after another, each with the next answer.
struct Fake {
    address: SocketAddr,
    ca: String,
    server: JoinHandle<Vec<Asked>>,
}

fn fake(provider: CryptoProvider, answers: impl FnOnce(&str) -> Vec<(u16, Value)>) -> Fake {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.into()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(provider.into())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let ca = cert.pem();
    let answers = answers(&ca);
    let server = std::thread::spawn(move || {
        let answer = |(status, body)| serve(&listener, &config, status, &body);
        answers.into_iter().filter_map(answer).collect()
    });
    Fake {
        address,
        ca,
        server,
    }
}

/// `None`: the client closed the connection before it sent a request.
fn serve(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    status: u16,
    answer: &Value,
) -> Option<Asked> {
    let (tcp, _) = listener.accept().unwrap();
    let connection = ServerConnection::new(config.clone()).unwrap();
    let mut stream = StreamOwned::new(connection, tcp);
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let answer = answer.to_string();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nretry-after: 7\r\ncontent-length: {}\r\n\r\n{answer}",
        answer.len()
    )
    .unwrap();
    stream.flush().unwrap();
    Some(Asked {
        group: stream.conn.negotiated_key_exchange_group().unwrap().name(),
        head,
        body: serde_json::from_slice(&body).unwrap(),
    })
}

fn token_answer(ca: &str) -> Value {
    json!({"token": "a.b.c", "expires": 1_795_575_600, "ca": ca})
}

fn enrol_answer() -> Value {
    json!({
        "public_key": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "preshared_key": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
        "endpoint": "192.0.2.2:51820", "addresses": ["10.64.0.7/32"],
        "allowed_ips": ["0.0.0.0/0", "::/0"], "dns": [], "mtu": 1420,
        "persistent_keepalive": 25, "expires": 1_795_575_600
    })
}

fn mayfly(dir: &Path, arguments: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mayfly"))
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that does not read its input may have ended already.
    let _ = stdin.write_all(b"correct horse\n");
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn enrol(dir: &Path, fake: &Fake) -> Output {
    std::fs::write(dir.join("ca.pem"), &fake.ca).unwrap();
    let server = format!("{NAME}@{}", fake.address);
    let words = "--accounts-ca ca.pem --user ann --password-stdin --out mayfly0.conf";
    let mut arguments = vec!["enrol", "--accounts", &server, "--node", &server];
    arguments.extend(words.split(' '));
    mayfly(dir, &arguments)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn enrolment_and_release_go_through_hybrid_post_quantum_tls() {
    let dir = tempfile::tempdir().unwrap();
    let fake = fake(aws_lc_rs::default_provider(), |ca| {
        vec![
            (200, token_answer(ca)),
            (200, enrol_answer()),
            (204, json!(null)),
        ]
    });
    let enrolled = enrol(dir.path(), &fake);
    assert!(enrolled.status.success(), "{}", text(&enrolled.stderr));
    let released = mayfly(dir.path(), &["release", "--config", "mayfly0.conf"]);
    assert!(released.status.success(), "{}", text(&released.stderr));

    let asked = fake.server.join().unwrap();
    for one in &asked {
        assert_eq!(one.group, NamedGroup::X25519MLKEM768);
    }
    let [token, peer, release] = &asked[..] else {
        panic!("three requests");
    };
    assert!(token.head.starts_with("post /v1/tokens http/1.1\r\n"));
    assert!(token.head.contains("authorization: basic"));
    assert_eq!(token.body["anyway"], false);
    assert!(peer.head.starts_with("post /v1/peers http/1.1\r\n"));
    assert_eq!(peer.body["token"], "a.b.c");
    assert!(release.head.starts_with("delete /v1/peers http/1.1\r\n"));
    assert!(release.head.contains("authorization: bearer agicagic"));
    assert_eq!(release.body["public_key"], peer.body["public_key"]);
}

#[test]
fn a_server_without_the_hybrid_group_is_still_reached() {
    let dir = tempfile::tempdir().unwrap();
    let mut classical = aws_lc_rs::default_provider();
    classical.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let fake = fake(classical, |ca| {
        vec![(200, token_answer(ca)), (200, enrol_answer())]
    });
    assert!(enrol(dir.path(), &fake).status.success());
    let asked = fake.server.join().unwrap();
    assert_eq!(asked[0].group, NamedGroup::X25519);
}

#[test]
fn the_file_is_the_owners_and_no_secret_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    let fake = fake(aws_lc_rs::default_provider(), |ca| {
        vec![(200, token_answer(ca)), (200, enrol_answer())]
    });
    let done = enrol(dir.path(), &fake);
    let path = dir.path().join("mayfly0.conf");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let file = std::fs::read_to_string(&path).unwrap();
    let keys = file.lines().filter_map(|line| line.split_once("Key = "));
    for (_, key) in keys {
        assert!(!text(&done.stdout).contains(key));
        assert!(!text(&done.stderr).contains(key));
    }
    assert!(text(&done.stdout).contains("works until 2026-11-25 03:00 UTC"));
}

#[test]
fn a_fifth_device_is_told_the_reason_and_leaves_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let problem = json!({
        "type": "/problems/devices", "title": "4 of 4 devices connected", "status": 409
    });
    let fake = fake(aws_lc_rs::default_provider(), |_| vec![(409, problem)]);
    let done = enrol(dir.path(), &fake);
    assert_eq!(done.status.code(), Some(1));
    let line = text(&done.stderr);
    assert!(line.contains("4 of 4 devices connected"), "{line}");
    assert_eq!(line.lines().count(), 1);
    assert!(!dir.path().join("mayfly0.conf").exists());
}

#[test]
fn a_node_that_another_authority_vouches_for_gets_no_token() {
    let dir = tempfile::tempdir().unwrap();
    let other = generate_simple_self_signed([NAME.into()]).unwrap();
    let fake = fake(aws_lc_rs::default_provider(), |_| {
        vec![
            (200, token_answer(&other.cert.pem())),
            (200, enrol_answer()),
        ]
    });
    let done = enrol(dir.path(), &fake);
    assert_eq!(done.status.code(), Some(78));
    assert!(text(&done.stderr).contains("no secure connection"));
    assert_eq!(fake.server.join().unwrap().len(), 1);
    assert!(!dir.path().join("mayfly0.conf").exists());
}
