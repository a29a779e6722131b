//! Enrolling many peers at once: tokens under an operator's own key, as any back end can sign
//! them, and `POST /v1/peers` over a connection each.
//!
//! The account service would have to hash the passwords of a hundred thousand customers. That takes
//! hours, and is not measured here.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mayfly_host::signals;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use super::client::Access;

/// Connections at a time.
const AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(20);
/// Length of a ticket. A node does not look inside.
const TICKET: usize = 56;
/// Peers that fit into the default pool. Later ones get the streaming pool.
const DEFAULT_POOL: usize = 60_000;
/// A token ends at a whole hour, 24 to 36 h ahead.
const HOUR: u64 = 3600;
const LIFE: u64 = 25 * HOUR;

/// An operator's key for tokens.
pub(crate) struct Mint {
    pair: Ed25519KeyPair,
}

impl Mint {
    /// Makes a key.
    ///
    /// # Errors
    /// The kernel gives no randomness.
    pub(crate) fn new() -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&random::<32>()?);
        Ok(Self {
            pair: pair.map_err(|_| anyhow!("a key is not made"))?,
        })
    }

    /// The public key, in the format of a node's settings.
    pub(crate) fn public_key(&self) -> String {
        STANDARD.encode(self.pair.public_key())
    }

    /// A token (RFC 7519) for the peer of this number.
    fn token(&self, number: usize) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let header = json!({ "alg": "EdDSA", "typ": "JWT" });
        let claims = json!({
            "ticket": URL_SAFE_NO_PAD.encode(random::<TICKET>()?),
            "exp": (now + LIFE) / HOUR * HOUR,
            "ipv6": true,
            "streaming": number >= DEFAULT_POOL,
            "public_ipv4": false,
            "multihop": false,
        });
        let [header, claims] =
            [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }
}

/// Where a node takes enrolments.
pub(crate) struct Node {
    address: SocketAddr,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
}

impl Node {
    /// The node `name`, for which the authority `ca` (PEM) vouches.
    ///
    /// # Errors
    /// The name or the authority is not valid.
    pub(crate) fn new(address: SocketAddr, name: &'static str, ca: &[u8]) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            roots.add(certificate.context("an authority that is no PEM")?)?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            address,
            name: ServerName::try_from(name)?,
            config: Arc::new(config),
        })
    }

    /// Enrols keys (base64), in the namespace of the caller's thread.
    ///
    /// # Errors
    /// The node refuses one.
    pub(crate) fn enrol(&self, mint: &Mint, before: usize, keys: &[&str]) -> Result<Vec<Access>> {
        let part = keys.len().div_ceil(AT_ONCE).max(1);
        thread::scope(|scope| {
            let parts: Vec<_> = keys
                .chunks(part)
                .enumerate()
                .map(|(number, keys)| {
                    let first = before + number * part;
                    scope.spawn(move || self.enrol_part(mint, first, keys))
                })
                .collect();
            let mut access = Vec::with_capacity(keys.len());
            for part in parts {
                access.extend(part.join().map_err(|_| anyhow!("a panic"))??);
            }
            Ok(access)
        })
    }

    fn enrol_part(&self, mint: &Mint, first: usize, keys: &[&str]) -> Result<Vec<Access>> {
        let one = |(number, key): (usize, &&str)| {
            signals::check()?;
            let body = json!({ "token": mint.token(first + number)?, "public_key": key });
            access(&self.post(&body.to_string())?).context("half an answer to an enrolment")
        };
        keys.iter().enumerate().map(one).collect()
    }

    fn post(&self, body: &str) -> Result<Value> {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let session = ClientConnection::new(self.config.clone(), self.name.clone())?;
        let mut stream = StreamOwned::new(session, stream);
        let length = body.len();
        let head = "POST /v1/peers HTTP/1.1\r\nhost: node\r\nconnection: close\r\n";
        let request = format!("{head}content-length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "the node answers {status}");
        Ok(serde_json::from_str(body)?)
    }
}

fn access(granted: &Value) -> Option<Access> {
    let text = |name: &str| Some(granted.get(name)?.as_str()?.to_owned());
    let addresses = granted.get("addresses")?.as_array()?.iter();
    Some(Access {
        private_key: None,
        public_key: text("public_key")?,
        preshared_key: text("preshared_key"),
        endpoint: text("endpoint")?,
        addresses: addresses
            .filter_map(|address| Some(address.as_str()?.to_owned()))
            .collect(),
    })
}

/// Random bytes.
///
/// # Errors
/// The kernel gives none.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("cannot read /dev/urandom")?;
    Ok(bytes)
}
