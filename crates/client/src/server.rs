//! A server: the name that its certificate must carry, and its address.

use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

use rustls::pki_types::ServerName;

/// The port of a URL without one (RFC 9110 section 4.2.2).
const HTTPS: u16 = 443;

/// A TLS name and a numeric address, written `NAME@ADDRESS:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// A DNS name or an IP address, as it stands in the certificate.
    pub(crate) name: ServerName<'static>,
    /// The address to connect to.
    pub(crate) address: SocketAddr,
}

/// Why a text does not name a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ServerError {
    /// Neither of the two forms.
    #[error("expected NAME@ADDRESS:PORT with a numeric address, or https://HOST[:PORT]")]
    Form,
    /// The name is neither a DNS name nor an IP address.
    #[error("the name is neither a DNS name nor an IP address")]
    Name,
    /// The system's resolver does not know the host.
    #[error("the address of the host cannot be looked up; give NAME@ADDRESS:PORT instead")]
    Unknown,
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, ServerError> {
        if let Some(url) = text.strip_prefix("https://") {
            return from_authority(url.strip_suffix('/').unwrap_or(url));
        }
        let (name, address) = text.split_once('@').ok_or(ServerError::Form)?;
        Ok(Self {
            name: parse_name(name)?,
            address: address.parse().map_err(|_| ServerError::Form)?,
        })
    }
}

fn from_authority(authority: &str) -> Result<Server, ServerError> {
    if let Ok(address) = authority.parse::<SocketAddr>() {
        return Ok(Server {
            name: ServerName::IpAddress(address.ip().into()),
            address,
        });
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => {
            (host, port.parse().map_err(|_| ServerError::Form)?)
        }
        _ => (authority, HTTPS),
    };
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let name = parse_name(host)?;
    let address = (host, port)
        .to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or(ServerError::Unknown)?;
    Ok(Server { name, address })
}

fn parse_name(name: &str) -> Result<ServerName<'static>, ServerError> {
    ServerName::try_from(name.to_owned()).map_err(|_| ServerError::Name)
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name.to_str(), self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_name_and_a_numeric_address() {
        for text in [
            "fra-1.example@192.0.2.2:8443",
            "fra-1.example@[2001:db8::2]:8443",
        ] {
            assert_eq!(text.parse::<Server>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_url_with_an_address_needs_no_lookup() {
        let server: Server = "https://[2001:db8::2]:8443/".parse().unwrap();
        assert_eq!(server.to_string(), "2001:db8::2@[2001:db8::2]:8443");
        let server: Server = "https://192.0.2.2".parse().unwrap();
        assert_eq!(server.address.port(), HTTPS);
        let server: Server = "https://[2001:db8::2]".parse().unwrap();
        assert_eq!(server.address.port(), HTTPS);
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "fra-1",
            "fra-1:443",
            "http://192.0.2.2",
            "a b@192.0.2.2:1",
            "a@b:1",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text}");
        }
    }
}
