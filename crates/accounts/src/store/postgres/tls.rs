//! How the server is reached: without TLS over a Unix socket or loopback, otherwise over TLS 1.3.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::Database;
use crate::core::error::StoreError;
use crate::core::files;
use crate::store::Result;

/// The address of the server with the password, and the TLS settings.
pub(super) fn configure(
    database: &Database,
) -> Result<(tokio_postgres::Config, MakeRustlsConnect)> {
    let mut server = database.postgres.get_ref().0.clone();
    if let Some(path) = &database.password_file {
        let password = files::read_private(path)?;
        let line = password.split(|&byte| byte == b'\n').next();
        server.password(line.unwrap_or_default());
    }
    server.ssl_mode(if database.postgres.get_ref().is_near() {
        SslMode::Disable
    } else {
        SslMode::Require
    });
    let mut roots = RootCertStore::empty();
    if let Some(path) = &database.ca {
        let pem = std::fs::read(path)?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let added = certificate.ok().map(|certificate| roots.add(certificate));
            added.and_then(|added| added.ok()).ok_or_else(|| {
                StoreError::Postgres("the authority's file is not PEM".to_owned())
            })?;
        }
    }
    Ok((server, MakeRustlsConnect::new(client(roots)?)))
}

fn client(roots: RootCertStore) -> Result<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|error| StoreError::Postgres(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
