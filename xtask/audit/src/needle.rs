//! The needles that are searched for, in the forms that they would have in memory.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde::Serialize;

use super::enrolment::{Enrolment, Home, Ip};
use super::keyboard;

/// The kind of a needle. It decides when the needle must be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The customer's own address and port.
    Endpoint,
    /// The keys of the WireGuard session of the device whose session keys are known.
    SessionKeys,
    /// The secrets of the TLS sessions in which it enrolled.
    Tls,
    /// Its inner address together with another one, as in connection tracking and packets.
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
    /// The ticket, which tells only the account service the account.
    Ticket,
    /// The token, which contains the ticket.
    Token,
    /// Its inner address.
    InnerAddress,
    /// What was typed on a keyboard.
    Typed,
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
            Self::Typed => "what was typed on a keyboard",
        }
    }

    /// Whether it may stay as long as the device is enrolled.
    pub fn stays_with_the_enrolment(self) -> bool {
        matches!(
            self,
            Self::PublicKey | Self::PresharedKey | Self::Ticket | Self::InnerAddress
        )
    }

    /// Whether it can be found while the device is connected. If so, it must be, or the search shows
    /// nothing. What a keyboard types can be found at no time.
    pub fn can_be_found(self) -> bool {
        self != Self::Typed
    }
}

/// One thing to search for.
#[derive(Debug, Clone)]
pub struct Needle {
    /// What it is.
    pub kind: Kind,
    /// The version of IP by which the customer comes.
    pub ip: Ip,
    /// Unique byte strings.
    pub forms: Vec<Vec<u8>>,
    /// An IPv4 address alone: four bytes, which can occur by chance.
    pub bare: Option<Ipv4Addr>,
}

/// A visit of a customer to a place on the internet, and what it got there.
pub struct Visit {
    /// The web server.
    pub host: SocketAddr,
    /// The page.
    pub page: Vec<u8>,
    /// The name that is looked up.
    pub name: String,
    /// The page's destination inside the tunnel, once it is known.
    pub inner: Option<SocketAddr>,
}

/// All needles of a device that sends from the UDP `port`, and of its visit.
pub fn all(enrolment: &Enrolment<'_>, port: u16, visit: &Visit) -> Vec<Needle> {
    let mut needles = of_device(enrolment, port);
    let (inner, host) = (enrolment.inner, visit.host.ip());
    let ip = enrolment.home().ip;
    let known = |kind, forms, bare| needle(kind, ip, forms, bare);
    needles.extend([
        known(Kind::Connection, connection(inner, visit), None),
        known(Kind::Visited, address(host, ip), v4(host)),
        known(
            Kind::Name,
            vec![dns_name(&visit.name), visit.name.as_bytes().to_vec()],
            None,
        ),
        known(Kind::Page, pieces(&visit.page), None),
    ]);
    needles
}

/// All needles of a device without a visit.
pub fn of_device(enrolment: &Enrolment<'_>, port: u16) -> Vec<Needle> {
    let home = enrolment.home();
    let known = |kind, forms, bare| needle(kind, home.ip, forms, bare);
    let each =
        |secrets_of: &[Vec<u8>]| secrets_of.iter().flat_map(|bytes| secrets(bytes)).collect();
    let tokens = enrolment.tokens.iter().map(|token| token.clone().into());
    let ports = enrolment.asked_from.iter().map(SocketAddr::port);
    vec![
        known(
            Kind::Endpoint,
            endpoint(home, ports.chain([port])),
            v4(home.address),
        ),
        known(Kind::Tls, each(&enrolment.secrets), None),
        known(Kind::PublicKey, keys(&enrolment.public_key), None),
        known(Kind::PresharedKey, keys(&enrolment.preshared_key), None),
        known(Kind::Ticket, each(&enrolment.tickets()), None),
        known(Kind::Token, tokens.collect(), None),
        known(
            Kind::InnerAddress,
            address(enrolment.inner, home.ip),
            v4(enrolment.inner),
        ),
    ]
}

/// The keys of a session, one for each way.
pub fn session_keys(ip: Ip, ways: &[[u8; 32]; 2]) -> Needle {
    let forms = ways.iter().flat_map(|key| secrets(key)).collect();
    needle(Kind::SessionKeys, ip, forms, None)
}

/// What was typed on a keyboard.
pub fn typed(word: &str) -> Needle {
    needle(Kind::Typed, Ip::V4, keyboard::forms(word), None)
}

/// What a client tells the account service when it requests a token.
pub fn login(home: Home<'_>, login: &str) -> Needle {
    needle(Kind::Token, home.ip, vec![login.as_bytes().to_vec()], None)
}

fn needle(kind: Kind, ip: Ip, forms: Vec<Vec<u8>>, bare: Option<Ipv4Addr>) -> Needle {
    let mut forms = forms;
    forms.sort_unstable();
    forms.dedup();
    Needle {
        kind,
        ip,
        forms,
        bare,
    }
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// An address together with each of its ports (C's socket address, its mapped form, Rust's, a tuple
/// of connection tracking), together with the node's address (an IP header, a TCP socket), and as
/// text. An IPv6 address is unique by itself.
fn endpoint(home: Home<'_>, ports: impl Iterator<Item = u16>) -> Vec<Vec<u8>> {
    let mut forms = address(home.address, home.ip);
    let IpAddr::V4(own) = home.address else {
        return forms;
    };
    let own = own.octets();
    for port in ports {
        let (big, little) = (port.to_be_bytes(), port.to_le_bytes());
        forms.extend([
            [&[2, 0], &big[..], &own].concat(),
            [&own[..], &little].concat(),
            [&own[..], &big].concat(),
            [&own[..], &[0; 12], &big].concat(),
        ]);
    }
    forms
}

/// Two addresses in an IP header, and in a tuple of connection tracking, which has room for
/// IPv6 and the port (`struct nf_conntrack_tuple`).
fn connection(inner: IpAddr, visit: &Visit) -> Vec<Vec<u8>> {
    let host = visit.host.ip();
    let (from, to) = (octets(inner), octets(host));
    let mut forms = vec![[&from[..], &to].concat(), [&to[..], &from].concat()];
    if let Some(at) = visit.inner {
        forms.push([&wide(inner)[..], &at.port().to_be_bytes()].concat());
        forms.push([&wide(host)[..], &visit.host.port().to_be_bytes()].concat());
    }
    forms
}

/// An address as text. An IPv4 address also mapped into IPv6, alone in connection tracking's room
/// for an IPv6 address, and in an IP header with the node's.
fn address(address: IpAddr, ip: Ip) -> Vec<Vec<u8>> {
    let own = octets(address);
    let text = address.to_string().into_bytes();
    if address.is_ipv6() {
        return vec![text, own];
    }
    let node = octets(ip.node());
    vec![
        text,
        [&[0; 10][..], &[0xff, 0xff], &own].concat(),
        wide(address),
        [&own[..], &node].concat(),
        [&node[..], &own].concat(),
    ]
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An address in the 16 bytes that connection tracking has for both versions.
fn wide(address: IpAddr) -> Vec<u8> {
    let mut wide = octets(address);
    wide.resize(16, 0);
    wide
}

/// A name in a query: each label behind its length (RFC 1035 section 3.1).
pub fn dns_name(name: &str) -> Vec<u8> {
    let labels = name
        .split('.')
        .flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes()));
    labels.chain([0]).collect()
}

/// Samples from all parts of a page: every larger piece of it contains some of these.
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
    fn an_address_of_ipv6_is_a_form_of_its_own_and_one_of_ipv4_is_not() {
        let inner: IpAddr = "fd00:64::17".parse().unwrap();
        assert!(address(inner, Ip::V6).contains(&octets(inner)));
        let inner: IpAddr = "10.64.3.17".parse().unwrap();
        assert!(address(inner, Ip::V4).iter().all(|form| form.len() > 4));
    }

    #[test]
    fn a_connection_is_searched_for_as_the_kernel_has_it() {
        let visit = Visit {
            host: "198.51.100.2:80".parse().unwrap(),
            page: Vec::new(),
            name: String::new(),
            inner: Some("10.64.3.17:40000".parse().unwrap()),
        };
        let forms = connection("10.64.3.17".parse().unwrap(), &visit);
        let tuple = [&[10, 64, 3, 17], &[0; 12][..], &[0x9c, 0x40]].concat();
        assert!(forms.contains(&tuple));
        assert!(forms.contains(&vec![10, 64, 3, 17, 198, 51, 100, 2]));
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
