//! What is searched for, in the forms in which it would lie in memory.

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Serialize;

use super::enrolment::Enrolment;
use crate::run::lab::{CUSTOMER, NODE, PAGE_AT};

/// What a needle is, and when it has to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The customer's own address and port.
    Endpoint,
    /// The keys of the WireGuard session of the device whose session keys are known.
    SessionKeys,
    /// The secrets of the TLS sessions in which it enrolled.
    Tls,
    /// Its inner address together with another one, as connection tracking and packets have it.
    Connection,
    /// The host that it visited.
    Visited,
    /// The name that it looked up.
    Name,
    /// The page that it fetched.
    Page,
    /// Its WireGuard key.
    PublicKey,
    /// The key that the node made for it.
    PresharedKey,
    /// What names its account to the account service.
    Ticket,
    /// The token around that.
    Token,
    /// Its inner address.
    InnerAddress,
}

impl Kind {
    /// For a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "the customer's address and port",
            Self::SessionKeys => "WireGuard session keys",
            Self::Tls => "secrets of the TLS session",
            Self::Connection => "who was visited by whom",
            Self::Visited => "the visited host",
            Self::Name => "the name looked up",
            Self::Page => "the page fetched",
            Self::PublicKey => "public key",
            Self::PresharedKey => "pre-shared key",
            Self::Ticket => "ticket",
            Self::Token => "token",
            Self::InnerAddress => "inner address",
        }
    }

    /// Whether it may stay as long as the device is enrolled (the design's "What a node forgets").
    pub fn stays_with_the_enrolment(self) -> bool {
        matches!(
            self,
            Self::PublicKey | Self::PresharedKey | Self::Ticket | Self::InnerAddress
        )
    }

    /// Whether it has to be found while the device is connected, or the search is worth nothing.
    pub fn has_to_be_found(self) -> bool {
        matches!(
            self,
            Self::Endpoint
                | Self::Connection
                | Self::SessionKeys
                | Self::PublicKey
                | Self::PresharedKey
                | Self::Ticket
                | Self::InnerAddress
        )
    }
}

/// One thing to search for.
#[derive(Debug, Clone)]
pub struct Needle {
    /// What it is.
    pub kind: Kind,
    /// Bytes that nothing else has.
    pub forms: Vec<Vec<u8>>,
    /// An IPv4 address alone, which four bytes can be by chance.
    pub bare: Option<[u8; 4]>,
}

/// Everything that is known of a device.
pub fn all(enrolment: &Enrolment, port: u16, name: &str, page: &[u8]) -> Vec<Needle> {
    let inner = enrolment.inner;
    let std::net::IpAddr::V4(visited) = PAGE_AT.ip() else {
        return Vec::new();
    };
    let known = |kind, forms, bare: Option<Ipv4Addr>| Needle {
        kind,
        forms,
        bare: bare.map(|address| address.octets()),
    };
    vec![
        known(Kind::Endpoint, endpoint(port), Some(CUSTOMER)),
        known(
            Kind::Tls,
            enrolment
                .secrets
                .iter()
                .flat_map(|secret| secrets(secret))
                .collect(),
            None,
        ),
        known(Kind::Connection, connection(inner, visited), None),
        known(Kind::Visited, host(visited), Some(visited)),
        known(
            Kind::Name,
            vec![dns_name(name), name.as_bytes().to_vec()],
            None,
        ),
        known(Kind::Page, pieces(page), None),
        known(Kind::PublicKey, keys(&enrolment.public_key), None),
        known(Kind::PresharedKey, keys(&enrolment.preshared_key), None),
        known(Kind::Ticket, secrets(&enrolment.ticket), None),
        known(Kind::Token, vec![enrolment.token.as_bytes().to_vec()], None),
        known(Kind::InnerAddress, host(inner), Some(inner)),
    ]
}

/// The keys of a session, one for each way.
pub fn session_keys(ways: &[[u8; 32]; 2]) -> Needle {
    Needle {
        kind: Kind::SessionKeys,
        forms: ways.iter().flat_map(|key| secrets(key)).collect(),
        bare: None,
    }
}

/// As socket addresses (C's, its mapped form, Rust's), in IP headers with the node's, as text.
fn endpoint(port: u16) -> Vec<Vec<u8>> {
    let (own, node) = (CUSTOMER.octets(), NODE.octets());
    let (big, little) = (port.to_be_bytes(), port.to_le_bytes());
    vec![
        [&[2, 0], &big[..], &own].concat(),
        [&[10, 0], &big[..], &[0; 14], &[0xff, 0xff], &own].concat(),
        [&own[..], &little].concat(),
        [&own[..], &big].concat(),
        [&own[..], &node].concat(),
        [&node[..], &own].concat(),
        CUSTOMER.to_string().into_bytes(),
        [&[0; 10], &[0xff, 0xff][..], &own].concat(),
    ]
}

/// In IP headers with each other; in a tuple of connection tracking, which has room for IPv6.
fn connection(inner: Ipv4Addr, visited: Ipv4Addr) -> Vec<Vec<u8>> {
    let (inner, visited) = (inner.octets(), visited.octets());
    vec![
        [&inner[..], &visited].concat(),
        [&visited[..], &inner].concat(),
        [&inner[..], &[0; 12]].concat(),
        [&visited[..], &[0; 12]].concat(),
    ]
}

/// As text, as C's socket address without port, mapped into IPv6.
fn host(address: Ipv4Addr) -> Vec<Vec<u8>> {
    let own = address.octets();
    vec![
        address.to_string().into_bytes(),
        [&[0; 10], &[0xff, 0xff][..], &own].concat(),
        [&own[..], &NODE.octets()].concat(),
        [&NODE.octets()[..], &own].concat(),
    ]
}

/// A name in a query: each label behind its length (RFC 1035 section 3.1).
pub fn dns_name(name: &str) -> Vec<u8> {
    let labels = name
        .split('.')
        .flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes()));
    labels.chain([0]).collect()
}

/// Bytes from all over a page: whoever has any of it has some of these.
fn pieces(page: &[u8]) -> Vec<Vec<u8>> {
    page.chunks(256)
        .filter_map(|chunk| chunk.get(..24).map(<[u8]>::to_vec))
        .collect()
}

fn keys(base64: &str) -> Vec<Vec<u8>> {
    STANDARD
        .decode(base64)
        .map(|bytes| secrets(&bytes))
        .unwrap_or_default()
}

/// Raw, in hexadecimal, in base64.
fn secrets(bytes: &[u8]) -> Vec<Vec<u8>> {
    let hex = |upper: bool| -> Vec<u8> {
        let digit = |byte: &u8| {
            if upper {
                format!("{byte:02X}")
            } else {
                format!("{byte:02x}")
            }
        };
        bytes.iter().map(digit).collect::<String>().into_bytes()
    };
    let mut forms = vec![
        bytes.to_vec(),
        hex(false),
        hex(true),
        STANDARD_NO_PAD.encode(bytes).into_bytes(),
        URL_SAFE_NO_PAD.encode(bytes).into_bytes(),
    ];
    forms.sort_unstable();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_written_as_a_query_has_it() {
        assert_eq!(dns_name("a.bc"), [1, b'a', 2, b'b', b'c', 0]);
    }

    #[test]
    fn a_secret_is_searched_for_in_every_writing() {
        let forms = secrets(&[0xfb, 0xff, 0xfe]);
        for form in [
            &b"fbfffe"[..],
            b"FBFFFE",
            b"+//+",
            b"-__-",
            &[0xfb, 0xff, 0xfe],
        ] {
            assert!(forms.iter().any(|own| own == form));
        }
    }
}
