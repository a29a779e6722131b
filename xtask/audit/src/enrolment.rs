//! An enrolment whose every secret the experiment knows.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use boringtun::x25519::{PublicKey, StaticSecret};
use mayfly_host::namespace::Namespace;
use mayfly_lab::network::{ACCOUNTS, NODE, NODE_V6};
use mayfly_lab::operator::Operator;
use mayfly_lab::settings::ENROLMENT_PORT;
use mayfly_lab::settings::{ACCOUNTS_NAME, NODE_NAME};
use mayfly_lab::web::random_page;
use ring::signature::Ed25519KeyPair;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::https::{Held, Request, Server};
use super::initiator::Parties;
use super::patience::Patience;

const PEERS: &str = "/v1/peers";

/// The version of IP by which a customer comes, and which it sends inside the tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ip {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Ip {
    /// The version's number.
    pub fn number(self) -> u8 {
        match self {
            Self::V4 => 4,
            Self::V6 => 6,
        }
    }

    /// The node's address.
    pub fn node(self) -> IpAddr {
        match self {
            Self::V4 => NODE.into(),
            Self::V6 => NODE_V6.into(),
        }
    }
}

/// The owner of a device, and its place.
#[derive(Clone, Copy)]
pub struct Home<'a> {
    /// The device's namespace.
    pub namespace: &'a Namespace,
    /// The version of IP by which it comes to the node.
    pub ip: Ip,
    /// Its address there.
    pub address: IpAddr,
    /// The account.
    pub user: &'a str,
    /// The operator of node and account service.
    pub operator: &'a Operator,
    /// How long the node may take.
    pub patience: Patience,
}

/// Everything that client, node and account service together know of it.
pub struct Enrolment<'a> {
    home: Home<'a>,
    private_key: [u8; 32],
    /// Base64.
    pub public_key: String,
    /// Base64.
    pub preshared_key: String,
    /// In JWS compact form.
    pub tokens: Vec<String>,
    /// The device's address inside the tunnel, of the version that it comes over.
    pub inner: IpAddr,
    /// The source address and port of each request.
    pub asked_from: Vec<SocketAddr>,
    /// Secrets of the TLS sessions with the node.
    pub secrets: Vec<Vec<u8>>,
    answer: Value,
}

impl<'a> Enrolment<'a> {
    /// Gets a token, makes a key, and enrols it.
    ///
    /// # Errors
    /// The account service or the node refuses.
    pub fn make(home: Home<'a>) -> Result<Self> {
        let (token, from) = home.token()?;
        Self::under(home, token, from)
    }

    /// The same under a token that ends after a number of seconds, signed with the service's own
    /// key.
    ///
    /// # Errors
    /// As [`Enrolment::make`].
    pub fn make_short(home: Home<'a>, seconds: u64) -> Result<Self> {
        let (token, from) = home.token()?;
        Self::under(home, shortened(&token, home.operator, seconds)?, from)
    }

    fn under(home: Home<'a>, token: String, asked_from: SocketAddr) -> Result<Self> {
        let seed: [u8; 32] = random_page(32)?
            .try_into()
            .map_err(|_| anyhow!("no randomness"))?;
        let secret = StaticSecret::from(seed);
        let public_key = STANDARD.encode(PublicKey::from(&secret).as_bytes());
        let body = json!({ "token": token, "public_key": public_key });
        let held = home.at_node("POST", body, None)?;
        let (from, secrets) = (held.from, held.secrets.clone());
        let answer: Value = serde_json::from_str(&held.finish()?)?;
        Ok(Self {
            home,
            private_key: secret.to_bytes(),
            public_key,
            preshared_key: text(&answer, "/preshared_key")?,
            tokens: vec![token],
            inner: inner(&answer, home.ip)?,
            asked_from: vec![asked_from, from],
            secrets,
            answer,
        })
    }

    /// Begins to extend it, and stops before the last byte of the request: then the node has an
    /// unfinished request in its memory.
    ///
    /// # Errors
    /// The account service or the node refuses.
    pub fn renew(&mut self) -> Result<Held> {
        let (token, from) = self.home.token()?;
        let body = json!({ "token": token, "public_key": self.public_key });
        let held = self.home.at_node("POST", body, Some(self.bearer()))?;
        self.tokens.push(token);
        self.asked_from.extend([from, held.from]);
        self.secrets.extend(held.secrets.iter().cloned());
        Ok(held)
    }

    /// The text of a wg-quick file.
    pub fn config(&self) -> String {
        let list = |name: &str| -> String {
            let all = self.answer.get(name).and_then(Value::as_array);
            let all = all.into_iter().flatten().filter_map(Value::as_str);
            all.collect::<Vec<_>>().join(", ")
        };
        let text = |name: &str| self.answer.get(name).and_then(Value::as_str).unwrap_or("");
        format!(
            "[Interface]\nPrivateKey = {}\nAddress = {}\nMTU = 1420\n\n[Peer]\nPublicKey = {}\n\
             PresharedKey = {}\nEndpoint = {}\nAllowedIPs = {}\nPersistentKeepalive = 25\n",
            STANDARD.encode(self.private_key),
            list("addresses"),
            text("public_key"),
            self.preshared_key,
            text("endpoint"),
            list("allowed_ips"),
        )
    }

    /// The keys that a WireGuard handshake needs of both sides.
    ///
    /// # Errors
    /// A key is not valid.
    pub fn parties(&self) -> Result<Parties> {
        Ok(Parties {
            own: self.private_key,
            node: key(&text(&self.answer, "/public_key")?)?,
            preshared: key(&self.preshared_key)?,
            at: self.home.ip.node(),
            patience: self.home.patience,
        })
    }

    /// The tickets in the tokens.
    pub fn tickets(&self) -> Vec<Vec<u8>> {
        let tickets = self.tokens.iter();
        tickets.filter_map(|token| ticket(token)).collect()
    }

    /// A word that makes names of files unique.
    pub fn label(&self) -> String {
        let letters = self.public_key.bytes().filter(u8::is_ascii_alphanumeric);
        let letters = letters.map(|byte| char::from(byte.to_ascii_lowercase()));
        letters.take(24).collect()
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.preshared_key)
    }

    /// Where it is, and whose.
    pub fn home(&self) -> Home<'a> {
        self.home
    }

    /// Ends it.
    ///
    /// # Errors
    /// The node refuses.
    pub fn release(&mut self) -> Result<()> {
        let body = json!({ "public_key": self.public_key });
        let held = self.home.at_node("DELETE", body, Some(self.bearer()))?;
        self.asked_from.push(held.from);
        self.secrets.extend(held.secrets.iter().cloned());
        held.finish().map(|_| ())
    }
}

impl Home<'_> {
    /// A token of the account, and the address from which it was requested.
    fn token(&self) -> Result<(String, SocketAddr)> {
        let held = self.ask_for_token()?;
        let from = held.from;
        let answer = held.finish()?;
        Ok((text(&serde_json::from_str(&answer)?, "/token")?, from))
    }

    /// Begins to ask the account service for a token.
    ///
    /// # Errors
    /// It does not answer.
    pub fn ask_for_token(&self) -> Result<Held> {
        let body = json!({ "anyway": true, "client_version": "1.0-audit" });
        self.at_accounts("POST", "/v1/tokens", Some(body))
    }

    /// Begins a request to the account service, as the account's owner.
    ///
    /// # Errors
    /// It does not answer.
    pub fn at_accounts(&self, method: &str, path: &str, body: Option<Value>) -> Result<Held> {
        let server = Server {
            at: ACCOUNTS,
            name: ACCOUNTS_NAME,
            authority: self.operator.authority()?,
            patience: self.patience,
        };
        let request = Request {
            method,
            path,
            authorization: Some(format!("Basic {}", self.login()?)),
            body,
        };
        Held::open(self.namespace, &server, &request)
    }

    /// User and password in the format of HTTP (RFC 7617).
    ///
    /// # Errors
    /// There is no such user.
    pub fn login(&self) -> Result<String> {
        let password = self.operator.password(self.user)?;
        Ok(STANDARD.encode(format!("{}:{password}", self.user)))
    }

    fn at_node(&self, method: &str, body: Value, authorization: Option<String>) -> Result<Held> {
        let server = Server {
            at: SocketAddr::new(self.ip.node(), ENROLMENT_PORT),
            name: NODE_NAME,
            authority: self.operator.authority()?,
            patience: self.patience,
        };
        let request = Request {
            method,
            path: PEERS,
            authorization,
            body: Some(body),
        };
        Held::open(self.namespace, &server, &request)
    }
}

fn text(answer: &Value, pointer: &str) -> Result<String> {
    let text = answer.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .with_context(|| format!("an answer without {pointer}"))
}

fn inner(answer: &Value, ip: Ip) -> Result<IpAddr> {
    let all = answer.get("addresses").and_then(Value::as_array);
    let texts = all.into_iter().flatten().filter_map(Value::as_str);
    let mut addresses = texts.filter_map(|text| text.split('/').next()?.parse().ok());
    addresses
        .find(|address: &IpAddr| address.is_ipv4() == (ip == Ip::V4))
        .with_context(|| format!("no inner address of IPv{}", ip.number()))
}

fn key(base64: &str) -> Result<[u8; 32]> {
    let bytes = STANDARD.decode(base64).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .context("no WireGuard key")
}

/// The payload of the token has the ticket in base64url.
fn ticket(token: &str) -> Option<Vec<u8>> {
    let claims = claims(token)?;
    let ticket = claims.get("ticket")?.as_str()?;
    URL_SAFE_NO_PAD
        .decode(ticket)
        .or_else(|_| STANDARD.decode(ticket))
        .ok()
}

fn claims(token: &str) -> Option<Value> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// The same token with an earlier end. Any back end that has the key can sign one (RFC 7515).
fn shortened(token: &str, operator: &Operator, seconds: u64) -> Result<String> {
    let mut claims = claims(token).context("the token is none")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    claims["exp"] = json!(now + seconds);
    let pem = fs::read(operator.data.join("token.key")).context("no key for tokens")?;
    let der = PrivateKeyDer::from_pem_slice(&pem)?;
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_der())
        .map_err(|_| anyhow!("no key for tokens"))?;
    let head = token.split('.').next().unwrap_or_default();
    let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes()));
    Ok(format!("{signed}.{signature}"))
}
