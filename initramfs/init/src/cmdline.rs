//! The words of the kernel's command line that are for init: those that start with `mayfly.`.
//!
//! ```text
//! mayfly.net=dhcp                              the default
//! mayfly.address=192.0.2.7/24 mayfly.gateway=192.0.2.1
//! mayfly.bundle=http://192.0.2.2:8080/node.bundle
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::Failure;

/// What init reads from the command line.
#[derive(Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// How the machine gets its address.
    pub addressing: Addressing,
    /// Where the settings are. If `None`, DHCP must say it.
    pub bundle: Option<BundleUrl>,
}

/// How the machine gets its address.
#[derive(Debug, PartialEq, Eq)]
pub enum Addressing {
    /// From a DHCP server.
    Dhcp,
    /// As the command line says.
    Static {
        /// The machine's own address.
        address: Ipv4Addr,
        /// Length of the network's prefix, 1 to 32.
        prefix: u8,
        /// The default gateway.
        gateway: Ipv4Addr,
    },
}

/// `http://ADDRESS:PORT/PATH`: plain HTTP, since the bundle is signed, and a numeric
/// address, since there is no resolver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleUrl {
    /// The web server.
    pub server: SocketAddr,
    /// The path with its leading slash, and a query if there is one.
    pub path: String,
}

impl FromStr for CommandLine {
    type Err = Failure;

    fn from_str(line: &str) -> Result<Self, Failure> {
        let mut words = Words::default();
        for word in line.split_ascii_whitespace() {
            if let Some(ours) = word.strip_prefix("mayfly.") {
                words.take(ours)?;
            }
        }
        Ok(Self {
            addressing: words.addressing()?,
            bundle: words.bundle.map(str::parse).transpose()?,
        })
    }
}

#[derive(Default)]
struct Words<'a> {
    net: Option<&'a str>,
    address: Option<&'a str>,
    gateway: Option<&'a str>,
    bundle: Option<&'a str>,
}

impl<'a> Words<'a> {
    fn take(&mut self, word: &'a str) -> Result<(), Failure> {
        let (name, value) = word.split_once('=').ok_or(Failure::CommandLine)?;
        let slot = match name {
            "net" => &mut self.net,
            "address" => &mut self.address,
            "gateway" => &mut self.gateway,
            "bundle" => &mut self.bundle,
            _ => return Err(Failure::CommandLine),
        };
        match slot.replace(value) {
            None => Ok(()),
            Some(_) => Err(Failure::CommandLine),
        }
    }

    fn addressing(&self) -> Result<Addressing, Failure> {
        match (self.net, self.address, self.gateway) {
            (None | Some("dhcp"), None, None) => Ok(Addressing::Dhcp),
            (None, Some(address), Some(gateway)) => {
                static_addressing(address, gateway).ok_or(Failure::CommandLine)
            }
            _ => Err(Failure::CommandLine),
        }
    }
}

fn static_addressing(address: &str, gateway: &str) -> Option<Addressing> {
    let (address, prefix) = address.split_once('/')?;
    let prefix = prefix.parse().ok()?;
    (1..=32).contains(&prefix).then_some(())?;
    Some(Addressing::Static {
        address: address.parse().ok()?,
        prefix,
        gateway: gateway.parse().ok()?,
    })
}

impl FromStr for BundleUrl {
    type Err = Failure;

    fn from_str(url: &str) -> Result<Self, Failure> {
        let rest = url.strip_prefix("http://").ok_or(Failure::CommandLine)?;
        let slash = rest.find('/').ok_or(Failure::CommandLine)?;
        let (server, path) = rest.split_at(slash);
        // The characters of a path and a query (RFC 3986 sections 3.3 and 3.4).
        let legal = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte);
        if !path.bytes().all(legal) {
            return Err(Failure::CommandLine);
        }
        Ok(Self {
            server: server.parse().map_err(|_| Failure::CommandLine)?,
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_our_words_means_dhcp_and_no_url() {
        let line: CommandLine = "console=ttyS0 panic=-1 quiet\n".parse().unwrap();
        assert_eq!(line.addressing, Addressing::Dhcp);
        assert_eq!(line.bundle, None);
    }

    #[test]
    fn a_static_address_comes_with_its_gateway() {
        let line = "mayfly.address=192.0.2.7/24 mayfly.gateway=192.0.2.1 \
                    mayfly.bundle=http://192.0.2.2:8080/a/b?c=d";
        let line: CommandLine = line.parse().unwrap();
        let expected = Addressing::Static {
            address: Ipv4Addr::new(192, 0, 2, 7),
            prefix: 24,
            gateway: Ipv4Addr::new(192, 0, 2, 1),
        };
        assert_eq!(line.addressing, expected);
        let bundle = line.bundle.unwrap();
        assert_eq!(bundle.server, "192.0.2.2:8080".parse().unwrap());
        assert_eq!(bundle.path, "/a/b?c=d");
    }

    #[test]
    fn a_word_that_cannot_be_followed_stops_the_boot() {
        for line in [
            "mayfly.address=192.0.2.7/24",
            "mayfly.gateway=192.0.2.1",
            "mayfly.net=dhcp mayfly.address=192.0.2.7/24 mayfly.gateway=192.0.2.1",
            "mayfly.address=192.0.2.7/0 mayfly.gateway=192.0.2.1",
            "mayfly.address=192.0.2.7/33 mayfly.gateway=192.0.2.1",
            "mayfly.address=192.0.2.7 mayfly.gateway=192.0.2.1",
            "mayfly.net=none",
            "mayfly.net=dhcp mayfly.net=dhcp",
            "mayfly.debug=1",
            "mayfly.bundle",
            "mayfly.bundle=https://192.0.2.2:8080/",
            "mayfly.bundle=http://boot.example:80/",
            "mayfly.bundle=http://192.0.2.2/",
            "mayfly.bundle=http://192.0.2.2:80",
            "mayfly.bundle=http://192.0.2.2:80/a#b",
        ] {
            assert_eq!(
                line.parse::<CommandLine>(),
                Err(Failure::CommandLine),
                "{line}"
            );
        }
    }
}
