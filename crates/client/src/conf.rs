//! The wg-quick file: the settings that `wg-quick` reads, and comments for later `mayfly` commands.
//!
//! ```text
//! # Made by mayfly. Works until 2026-11-25 03:00 UTC or until the node restarts.
//! # mayfly: node = fra-1.example@192.0.2.2:8443
//! # mayfly: ca = <certificate, DER in base64>        one line for each certificate
//! [Interface]
//! ...
//! ```

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mayfly_wire::enrol::{Cidr, EnrolResponse};
use mayfly_wire::{PresharedKey, PublicKey};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::OffsetDateTime;
use time::macros::format_description;
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::file;
use crate::server::Server;

const FIRST_WORDS: &str = "# Made by mayfly.";
const NODE: &str = "# mayfly: node = ";
const CA: &str = "# mayfly: ca = ";
const PRIVATE_KEY: &str = "PrivateKey = ";
const NODE_KEY: &str = "PublicKey = ";
const PRESHARED_KEY: &str = "PresharedKey = ";

/// The parts of an enrolment that a later command needs.
pub(crate) struct Enrolment {
    /// The node that holds the enrolment.
    pub(crate) node: Server,
    /// The CA certificates of the node, in PEM.
    pub(crate) node_ca: String,
    /// The node's WireGuard public key.
    pub(crate) node_key: PublicKey,
    /// The device's WireGuard private key.
    pub(crate) private_key: StaticSecret,
    /// The pre-shared key, which the node made for this peer.
    pub(crate) preshared_key: PresharedKey,
}

impl Enrolment {
    /// The public half of the device's key.
    pub(crate) fn public_key(&self) -> PublicKey {
        public_key(&self.private_key)
    }
}

/// The public half of a WireGuard key.
pub(crate) fn public_key(private_key: &StaticSecret) -> PublicKey {
    PublicKey(x25519_dalek::PublicKey::from(private_key).to_bytes())
}

/// Refuses a path that wg-quick would refuse, or a file that `mayfly` did not write.
pub(crate) fn check_target(path: &Path) -> Result<(), Error> {
    let interface = path
        .file_name()
        .and_then(|name| name.to_str()?.strip_suffix(".conf"));
    if !interface.is_some_and(is_interface) {
        return Err(Error::InterfaceName(path.to_owned()));
    }
    if path.exists() && !file::read(path)?.starts_with(FIRST_WORDS) {
        return Err(Error::Exists {
            path: path.to_owned(),
            why: "was not written by mayfly",
        });
    }
    Ok(())
}

/// The rule of wg-quick's `parse_options`.
fn is_interface(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_=+.-".contains(c);
    (1..=15).contains(&name.len()) && name.chars().all(allowed)
}

/// Makes the text of the file.
pub(crate) fn render(
    node: &Server,
    node_ca: &str,
    private_key: &StaticSecret,
    answer: &EnrolResponse,
) -> Zeroizing<String> {
    let private_key = Zeroizing::new(STANDARD.encode(private_key.as_bytes()));
    let preshared_key = Zeroizing::new(answer.preshared_key.to_base64());
    let mut text = Zeroizing::new(format!(
        "{FIRST_WORDS} Works until {} or until the node restarts.\n{NODE}{node}\n",
        until(answer.expires)
    ));
    for certificate in CertificateDer::pem_slice_iter(node_ca.as_bytes()).flatten() {
        line(&mut text, CA, &STANDARD.encode(certificate));
    }
    text.push_str("\n[Interface]\n");
    line(&mut text, PRIVATE_KEY, &private_key);
    line(&mut text, "Address = ", &list(&answer.addresses));
    if !answer.dns.is_empty() {
        line(&mut text, "DNS = ", &list(&answer.dns));
    }
    line(&mut text, "MTU = ", &answer.mtu.to_string());
    text.push_str("\n[Peer]\n");
    line(&mut text, NODE_KEY, &answer.public_key.to_base64());
    line(&mut text, PRESHARED_KEY, &preshared_key);
    line(&mut text, "AllowedIPs = ", &list(&answer.allowed_ips));
    line(&mut text, "Endpoint = ", &answer.endpoint.to_string());
    if answer.persistent_keepalive > 0 {
        let seconds = answer.persistent_keepalive.to_string();
        line(&mut text, "PersistentKeepalive = ", &seconds);
    }
    text
}

fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{name}{value}");
}

fn list<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(T::to_string).collect();
    values.join(", ")
}

/// The time as it stands in the file and in messages.
pub(crate) fn until(expires: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    i64::try_from(expires)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|time| time.format(format).ok())
        .unwrap_or_else(|| "a time out of range".to_owned())
}

/// Reads a file that `mayfly enrol` wrote.
pub(crate) fn read(path: &Path) -> Result<Enrolment, Error> {
    let text = file::read(path)?;
    parse(&text).ok_or_else(|| Error::Content {
        path: path.to_owned(),
        expected: "a file that `mayfly enrol` wrote",
    })
}

fn parse(text: &str) -> Option<Enrolment> {
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    let mut key = Zeroizing::new([0; 32]);
    STANDARD
        .decode_slice(value(PRIVATE_KEY)?, key.as_mut_slice())
        .ok()
        .filter(|&length| length == 32)?;
    let node_ca: String = text
        .lines()
        .filter_map(|line| line.strip_prefix(CA))
        .map(|der| format!("-----BEGIN CERTIFICATE-----\n{der}\n-----END CERTIFICATE-----\n"))
        .collect();
    Some(Enrolment {
        node: value(NODE)?.parse().ok()?,
        node_ca,
        node_key: value(NODE_KEY)?.parse().ok()?,
        private_key: StaticSecret::from(*key),
        preshared_key: value(PRESHARED_KEY)?.parse().ok()?,
    })
}

/// Why an answer makes no tunnel that carries all traffic, or `None` if it does.
pub(crate) fn unusable(answer: &EnrolResponse) -> Option<&'static str> {
    let everything = |all: &str| {
        let all: Option<Cidr> = all.parse().ok();
        answer.allowed_ips.iter().any(|cidr| Some(*cidr) == all)
    };
    if !everything("0.0.0.0/0") || !everything("::/0") {
        return Some("it does not carry all traffic");
    }
    if answer.addresses.is_empty() {
        return Some("it assigns no address");
    }
    // RFC 8200 section 5: IPv6 needs links with an MTU of at least 1280.
    if answer.mtu < 1280 {
        return Some("its MTU is too small for IPv6");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> EnrolResponse {
        EnrolResponse {
            public_key: PublicKey([1; 32]),
            preshared_key: PresharedKey([2; 32]),
            endpoint: "192.0.2.2:51820".parse().unwrap(),
            addresses: vec!["10.64.0.7/32".parse().unwrap()],
            allowed_ips: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
            dns: vec!["198.51.100.53".parse().unwrap()],
            mtu: 1420,
            persistent_keepalive: 25,
            expires: 1_795_575_600,
        }
    }

    fn text() -> String {
        let node: Server = "fra-1.example@192.0.2.2:8443".parse().unwrap();
        let ca = "-----BEGIN CERTIFICATE-----\nAAEC\n-----END CERTIFICATE-----\n";
        render(&node, ca, &StaticSecret::from([3; 32]), &answer()).to_string()
    }

    #[test]
    fn the_file_is_what_wg_quick_reads() {
        assert_eq!(
            text(),
            "# Made by mayfly. Works until 2026-11-25 03:00 UTC or until the node restarts.\n\
             # mayfly: node = fra-1.example@192.0.2.2:8443\n\
             # mayfly: ca = AAEC\n\
             \n\
             [Interface]\n\
             PrivateKey = AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=\n\
             Address = 10.64.0.7/32\n\
             DNS = 198.51.100.53\n\
             MTU = 1420\n\
             \n\
             [Peer]\n\
             PublicKey = AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\
             PresharedKey = AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n\
             AllowedIPs = 0.0.0.0/0, ::/0\n\
             Endpoint = 192.0.2.2:51820\n\
             PersistentKeepalive = 25\n"
        );
    }

    #[test]
    fn an_enrolment_is_read_back() {
        let enrolment = parse(&text()).unwrap();
        assert_eq!(enrolment.node.to_string(), "fra-1.example@192.0.2.2:8443");
        assert!(enrolment.node_key == PublicKey([1; 32]));
        assert_eq!(enrolment.private_key.as_bytes(), &[3; 32]);
        assert!(enrolment.preshared_key == PresharedKey([2; 32]));
        assert!(enrolment.node_ca.contains("\nAAEC\n"));
        assert!(parse("[Interface]\n").is_none());
    }

    #[test]
    fn an_answer_that_would_leak_is_refused() {
        assert_eq!(unusable(&answer()), None);
        let mut v4_only = answer();
        v4_only.allowed_ips.pop();
        assert!(unusable(&v4_only).is_some());
    }

    #[test]
    fn a_file_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("wg0.conf");
        std::fs::write(&path, "[Interface]\n").unwrap();
        assert!(matches!(check_target(&path), Err(Error::Exists { .. })));
        std::fs::write(&path, text()).unwrap();
        assert!(check_target(&path).is_ok());
    }

    #[test]
    fn a_name_that_wg_quick_refuses_is_refused_before_anything_is_asked() {
        for name in ["wg0", "a-name-of-sixteen.conf", "a b.conf", ".conf"] {
            let refused = check_target(Path::new("/nonexistent").join(name).as_path());
            assert!(matches!(refused, Err(Error::InterfaceName(_))), "{name}");
        }
    }
}
