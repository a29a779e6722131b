//! The configuration: one TOML file, documented by `example.toml`.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio_postgres::config::Host;
use toml::Spanned;

/// The settings of the service.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and TCP port of the only listener.
    pub listen: SocketAddr,
    /// Directory of the database, the authority, and the keys of tokens and of the shop; made
    /// with mode 0700.
    pub data: PathBuf,
    /// Directory of the ticket keys (default: `tickets` in `data`). On a tmpfs the keys never
    /// reach a disk, and a reboot of the machine ends all sessions.
    pub ticket_keys: Option<PathBuf>,
    /// DNS names and addresses in the service's certificate, at least one.
    pub names: Spanned<Vec<Spanned<String>>>,
    /// PostgreSQL in place of SQLite.
    pub store: Option<Database>,
    /// The shop, and the payment provider behind it.
    #[serde(default)]
    pub payments: Payments,
    /// Rate limits.
    #[serde(default)]
    pub limits: Limits,
}

/// The shop, and the payment provider behind it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payments {
    /// Hours for which the provider may report a payment again.
    pub retry_hours: Spanned<u64>,
}

impl Default for Payments {
    fn default() -> Self {
        Self {
            retry_hours: Spanned::new(0..0, 72),
        }
    }
}

/// A database on a PostgreSQL server, which several processes may share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Server, role and database: a connection string of libpq, or a URL.
    pub postgres: Spanned<Server>,
    /// File whose first line is the role's password.
    pub password_file: Option<PathBuf>,
    /// Authority of the server's certificate, in PEM. Required unless the server is reached over
    /// a Unix socket or loopback.
    pub ca: Option<PathBuf>,
    /// Address at which the other processes on this database reach this one (default: `listen`).
    pub address: Option<SocketAddr>,
}

/// Where a PostgreSQL server is.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub struct Server(pub tokio_postgres::Config);

impl TryFrom<String> for Server {
    type Error = tokio_postgres::Error;

    fn try_from(words: String) -> Result<Self, Self::Error> {
        words.parse().map(Self)
    }
}

impl Server {
    /// Whether the server is on this machine, so that no statement crosses a network.
    pub fn is_near(&self) -> bool {
        self.0.get_hosts().iter().all(|host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        })
    }
}

/// Rate limits. A network is an IPv4 address or an IPv6 /64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Tokens for one account in an hour.
    pub tokens: u32,
    /// Sign-ups from one network in an hour.
    pub sign_ups: u32,
    /// Wrong passwords, shop keys and admission secrets from one network in an hour.
    pub failures: u32,
    /// Passwords hashed at the same time. Each takes 19 MiB, and a core for about 20 ms.
    pub hashes: Spanned<usize>,
    /// Connections open at the same time, nodes' streams included.
    pub connections: Spanned<u32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tokens: 12,
            sign_ups: 10,
            failures: 30,
            hashes: Spanned::new(0..0, 2),
            connections: Spanned::new(0..0, 4096),
        }
    }
}

/// An invalid configuration. Prints as `file:line: what was expected`.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {expected}")]
pub struct ConfigError {
    file: String,
    line: usize,
    expected: String,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or breaks a rule.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => Err(ConfigError {
                file,
                line: 1,
                expected: format!("expected a readable file: {error}"),
            }),
        }
    }

    /// Parses and checks a text. `file` is the name in the error.
    ///
    /// # Errors
    /// The text is not TOML, or breaks a rule.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let refuse = |span: Option<Range<usize>>, expected: String| ConfigError {
            file: file.to_owned(),
            line: line_of(text, span.map_or(0, |span| span.start)),
            expected,
        };
        let config: Self = toml::from_str(text)
            .map_err(|error| refuse(error.span(), error.message().replace('\n', ", ")))?;
        config
            .check()
            .map_err(|(span, expected)| refuse(Some(span), expected.to_owned()))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (Range<usize>, &'static str)> {
        let names = self.names.get_ref();
        if names.is_empty() {
            return Err((self.names.span(), "expected at least one name or address"));
        }
        for name in names {
            if ServerName::try_from(name.get_ref().as_str()).is_err() {
                return Err((name.span(), "expected a DNS name or a numeric address"));
            }
        }
        let retry_hours = &self.payments.retry_hours;
        if !(1..=720).contains(retry_hours.get_ref()) {
            return Err((retry_hours.span(), "expected 1 to 720 hours"));
        }
        if let Some(Database {
            postgres, ca: None, ..
        }) = &self.store
            && !postgres.get_ref().is_near()
        {
            return Err((
                postgres.span(),
                "expected `ca` beside it, because the server is on another machine",
            ));
        }
        if let Some(Database {
            postgres,
            address: None,
            ..
        }) = &self.store
            && self.listen.ip().is_unspecified()
        {
            return Err((
                postgres.span(),
                "expected `address` beside it, because other processes cannot reach this one at `listen`",
            ));
        }
        let limits = &self.limits;
        if !(1..=64).contains(limits.hashes.get_ref()) {
            return Err((
                limits.hashes.span(),
                "expected 1 to 64 hashes at the same time",
            ));
        }
        if !(1..=100_000).contains(limits.connections.get_ref()) {
            return Err((
                limits.connections.span(),
                "expected 1 to 100000 connections",
            ));
        }
        Ok(())
    }

    /// The names in the service's certificate.
    pub fn names(&self) -> Vec<String> {
        self.names
            .get_ref()
            .iter()
            .map(|name| name.get_ref().clone())
            .collect()
    }

    /// Where other processes reach this one, if that is not where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.store.as_ref().and_then(|store| store.address)
    }

    /// The file of the SQLite database.
    pub fn database(&self) -> PathBuf {
        self.data.join("accounts.db")
    }

    /// The file of the key that signs tokens.
    pub fn token_key(&self) -> PathBuf {
        self.data.join("token.key")
    }

    /// The file with the hashes of the shop's keys.
    pub fn shop_key(&self) -> PathBuf {
        self.data.join("shop.key")
    }

    /// The directory of the ticket keys.
    pub fn ticket_keys(&self) -> PathBuf {
        self.ticket_keys
            .clone()
            .unwrap_or_else(|| self.data.join("tickets"))
    }
}

/// The line, counted from 1, of the byte at `offset`.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../example.toml");

    #[test]
    fn the_example_is_taken_and_shows_the_defaults() {
        let config = Config::parse("example.toml", EXAMPLE).unwrap();
        assert_eq!(config.payments.retry_hours, Payments::default().retry_hours);
        let default = Limits::default();
        assert_eq!(config.limits.tokens, default.tokens);
        assert_eq!(config.limits.sign_ups, default.sign_ups);
        assert_eq!(config.limits.failures, default.failures);
        assert_eq!(config.limits.hashes, default.hashes);
        assert_eq!(config.limits.connections, default.connections);
    }

    #[test]
    fn a_wrong_text_is_refused_with_its_line() {
        let wrong = [
            ("listen = ", "listen = 7 #", "example.toml:2: "),
            ("names = ", "names = [] #", "expected at least one name"),
            (
                "names = ",
                "names = [\"a b\"] #",
                "expected a DNS name or a numeric address",
            ),
            ("hashes = ", "hashes = 0 #", "expected 1 to 64"),
            ("retry_hours = ", "retry_hours = 0 #", "expected 1 to 720"),
            ("data = ", "date = ", "unknown field `date`"),
        ];
        for (old, new, said) in wrong {
            let text = EXAMPLE.replacen(&format!("\n{old}"), &format!("\n{new}"), 1);
            let error = Config::parse("example.toml", &text)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(said), "{error}");
            assert!(error.starts_with("example.toml:"), "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
