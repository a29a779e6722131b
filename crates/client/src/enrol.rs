//! What a user does with a device: enrol, renew, release.

use std::path::Path;

use hyper::Method;
use mayfly_wire::enrol::{EnrolRequest, EnrolResponse, ReleaseRequest};
use mayfly_wire::token::{TokenRequest, TokenResponse};
use x25519_dalek::StaticSecret;

use crate::cli::{AccountArgs, EnrolArgs, ReleaseArgs, RenewArgs};
use crate::conf::{self, Enrolment};
use crate::error::Error;
use crate::file;
use crate::https::{self, Authorization, Ca};
use crate::login::Login;
use crate::server::Server;

/// Makes a key pair, enrols it, and writes the wg-quick file.
pub(crate) async fn enrol(args: &EnrolArgs) -> Result<String, Error> {
    conf::check_target(&args.out)?;
    let token = token(&args.account, args.anyway).await?;
    let private_key = StaticSecret::random();
    let request = EnrolRequest {
        token: token.token,
        public_key: conf::public_key(&private_key),
    };
    let answer = peers(&args.node, &token.ca, Authorization::None, &request).await?;
    let text = conf::render(&args.node, &token.ca, &private_key, &answer);
    file::write(&args.out, &text)?;
    Ok(format!(
        "{}: works until {} or until the node restarts; bring it up with wg-quick up",
        args.out.display(),
        conf::until(answer.expires)
    ))
}

/// Enrols the same key under a new token. The session goes on.
pub(crate) async fn renew(args: &RenewArgs) -> Result<String, Error> {
    let old = conf::read(&args.config)?;
    // The service already counts this device.
    let token = token(&args.account, true).await?;
    let request = EnrolRequest {
        token: token.token,
        public_key: old.public_key(),
    };
    let answer = peers(
        &old.node,
        &token.ca,
        Authorization::Bearer(&old.preshared_key),
        &request,
    )
    .await?;
    let text = conf::render(&old.node, &token.ca, &old.private_key, &answer);
    file::write(&args.config, &text)?;
    Ok(renewed(&args.config, &old, &answer))
}

/// What to tell of a renewal. A node has a new WireGuard key each day, which the running tunnel does
/// not know.
fn renewed(config: &Path, old: &Enrolment, answer: &EnrolResponse) -> String {
    let (config, until) = (config.display(), conf::until(answer.expires));
    let works = format!("{config}: works until {until} or until the node restarts");
    if answer.public_key == old.node_key {
        return works;
    }
    format!(
        "{works}\nThe node has a new key. Load the file again: wg-quick down {config}; wg-quick up {config}"
    )
}

/// Ends the enrolment, and with it the session.
pub(crate) async fn release(args: &ReleaseArgs) -> Result<String, Error> {
    let enrolment = conf::read(&args.config)?;
    let ca = node_ca(&enrolment.node, &enrolment.node_ca)?;
    let request = ReleaseRequest {
        public_key: enrolment.public_key(),
    };
    https::tell(
        &enrolment.node,
        &ca,
        (Method::DELETE, "/v1/peers"),
        Authorization::Bearer(&enrolment.preshared_key),
        &request,
    )
    .await?;
    Ok(format!(
        "{}: released; the file no longer works",
        args.config.display()
    ))
}

async fn token(account: &AccountArgs, anyway: bool) -> Result<TokenResponse, Error> {
    let login = Login::of(account)?;
    let request = TokenRequest {
        anyway,
        client_version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        extension_version: None,
    };
    let target = (Method::POST, "/v1/tokens");
    let basic = login.authorization();
    https::call(&account.accounts, &login.ca, target, basic, &request).await
}

async fn peers(
    node: &Server,
    ca: &str,
    authorization: Authorization<'_>,
    request: &EnrolRequest,
) -> Result<EnrolResponse, Error> {
    let ca = node_ca(node, ca)?;
    let target = (Method::POST, "/v1/peers");
    let answer = https::call(node, &ca, target, authorization, request).await?;
    match conf::unusable(&answer) {
        None => Ok(answer),
        Some(why) => Err(Error::Unusable {
            server: node.clone(),
            why,
        }),
    }
}

fn node_ca(node: &Server, pem: &str) -> Result<Ca, Error> {
    Ca::from_pem(pem).ok_or_else(|| Error::Unusable {
        server: node.clone(),
        why: "it holds no CA certificate for the node",
    })
}

#[cfg(test)]
mod tests {
    use mayfly_wire::{PresharedKey, PublicKey};

    use super::*;

    #[test]
    fn a_renewal_says_so_if_the_node_has_a_new_key() {
        let old = Enrolment {
            node: "fra-1.example@192.0.2.2:8443".parse().unwrap(),
            node_ca: String::new(),
            node_key: PublicKey([1; 32]),
            private_key: StaticSecret::from([3; 32]),
            preshared_key: PresharedKey([2; 32]),
        };
        let said = |node_key: u8| {
            let answer = EnrolResponse {
                public_key: PublicKey([node_key; 32]),
                preshared_key: PresharedKey([2; 32]),
                endpoint: "192.0.2.2:51820".parse().unwrap(),
                addresses: Vec::new(),
                allowed_ips: Vec::new(),
                dns: Vec::new(),
                mtu: 1420,
                persistent_keepalive: 25,
                expires: 1_795_575_600,
            };
            renewed(Path::new("mayfly0.conf"), &old, &answer)
        };
        let works = "mayfly0.conf: works until 2026-11-25 03:00 UTC or until the node restarts";
        assert_eq!(said(1), works);
        let load = "The node has a new key. Load the file again: \
                    wg-quick down mayfly0.conf; wg-quick up mayfly0.conf";
        assert_eq!(said(2), format!("{works}\n{load}"));
    }
}
