//! An enrolment of which the experiment knows everything, made with curl and `wg`.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::initiator::Parties;
use crate::process;
use crate::run::lab::{ENROLMENT_PORT, Lab, NODE};
use crate::run::operator::Operator;

/// The node's name, in its certificate.
const NODE_NAME: &str = "node-1.example";
const LIMIT: Duration = Duration::from_secs(30);

/// What client, node and account service know of it, all together.
pub struct Enrolment {
    private_key: String,
    /// Base64.
    pub public_key: String,
    /// Base64.
    pub preshared_key: String,
    /// In JWS compact form.
    pub token: String,
    /// What is sealed in the token.
    pub ticket: Vec<u8>,
    /// The device's inner address.
    pub inner: Ipv4Addr,
    /// Secrets of the TLS sessions with the node (the key log format of NSS).
    pub secrets: Vec<Vec<u8>>,
    answer: Value,
}

impl Enrolment {
    /// Gets a token, makes a key, and enrols it.
    ///
    /// # Errors
    /// The account service or the node refuses.
    pub fn make(lab: &Lab, operator: &Operator) -> Result<Self> {
        let (token, ca) = operator.token()?;
        fs::write(lab.file("nodes.pem"), ca)?;
        let private_key = output(lab, &["wg", "genkey"])?;
        fs::write(lab.file("device.key"), &private_key)?;
        let path = lab.file("device.key").display().to_string();
        let public_key = output(lab, &["sh", "-c", "wg pubkey < \"$0\"", &path])?;
        let body = serde_json::json!({ "token": token, "public_key": public_key });
        let said = ask(lab, "POST", &body, None)?;
        let answer: Value = serde_json::from_str(&said).context("the node said no JSON")?;
        let text = |pointer: &str| {
            let text = answer.pointer(pointer).and_then(Value::as_str);
            text.map(str::to_owned)
                .context("the node's answer is short")
        };
        let inner = text("/addresses/0")?;
        Ok(Self {
            inner: inner
                .split('/')
                .next()
                .unwrap_or_default()
                .parse()
                .context("no inner IPv4 address")?,
            preshared_key: text("/preshared_key")?,
            ticket: ticket(&token).context("the token is none")?,
            secrets: logged_secrets(lab)?,
            private_key,
            public_key,
            token,
            answer,
        })
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
            self.private_key,
            list("addresses"),
            text("public_key"),
            self.preshared_key,
            text("endpoint"),
            list("allowed_ips"),
        )
    }

    /// What a handshake of WireGuard needs to be known of both sides.
    ///
    /// # Errors
    /// A key is none.
    pub fn parties(&self) -> Result<Parties> {
        let node = self.answer.get("public_key").and_then(Value::as_str);
        Ok(Parties {
            own: key(&self.private_key)?,
            node: key(node.context("the node's answer is short")?)?,
            preshared: key(&self.preshared_key)?,
        })
    }

    /// A word that nothing else has in its name.
    pub fn label(&self) -> String {
        let letters = self.public_key.bytes().filter(u8::is_ascii_alphanumeric);
        let letters = letters.map(|byte| char::from(byte.to_ascii_lowercase()));
        letters.take(24).collect()
    }

    /// Ends it.
    ///
    /// # Errors
    /// The node refuses.
    pub fn release(&self, lab: &Lab) -> Result<()> {
        let body = serde_json::json!({ "public_key": self.public_key });
        ask(lab, "DELETE", &body, Some(&self.preshared_key)).map(|_| ())
    }
}

fn key(base64: &str) -> Result<[u8; 32]> {
    let bytes = STANDARD.decode(base64).ok();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .context("no WireGuard key")
}

fn ask(lab: &Lab, method: &str, body: &Value, bearer: Option<&str>) -> Result<String> {
    let resolve = format!("{NODE_NAME}:{ENROLMENT_PORT}:{NODE}");
    let url = format!("https://{NODE_NAME}:{ENROLMENT_PORT}/v1/peers");
    let words = [
        "curl",
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--noproxy",
        "*",
    ];
    // Past a tunnel that is up, as a client that knows its own way would.
    let mut command = lab.customer.command(words);
    command
        .args(["--interface", crate::run::lab::LINK, "--request", method])
        .args([
            "--resolve",
            &resolve,
            "--json",
            &body.to_string(),
            "--cacert",
        ])
        .arg(lab.file("nodes.pem"))
        .env("SSLKEYLOGFILE", lab.file("tls.keys"));
    if let Some(bearer) = bearer {
        command.args(["--header", &format!("Authorization: Bearer {bearer}")]);
    }
    process::output(command.arg(&url), "curl", LIMIT)
}

/// The payload of the token has the ticket in base64url.
fn ticket(token: &str) -> Option<Vec<u8>> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let ticket = claims.get("ticket")?.as_str()?;
    URL_SAFE_NO_PAD
        .decode(ticket)
        .or_else(|_| STANDARD.decode(ticket))
        .ok()
}

/// `LABEL RANDOM SECRET`, in hexadecimal.
fn logged_secrets(lab: &Lab) -> Result<Vec<Vec<u8>>> {
    let log = fs::read_to_string(lab.file("tls.keys")).context("curl logged no TLS keys")?;
    let secrets: Vec<_> = log
        .lines()
        .filter_map(|line| line.split(' ').nth(2))
        .filter_map(unhex)
        .collect();
    ensure!(!secrets.is_empty(), "curl logged no TLS keys");
    Ok(secrets)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

fn output(lab: &Lab, words: &[&str]) -> Result<String> {
    let mut command = lab.customer.command(words.iter().copied());
    Ok(process::output(&mut command, "wg", LIMIT)?
        .trim()
        .to_owned())
}
