//! `POST /v1/tokens`: the token that a client shows to nodes in place of its account.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::{Extension, Json};
use mayfly_counter::constants::MAX_DEVICES;
use mayfly_wire::token::{Claims, TokenRequest, TokenResponse};

use super::{Shared, body};
use crate::core::fields::{check_optional, check_version};
use crate::core::record::Account;
use crate::core::{clock, random};
use crate::http::listener::Peer;
use crate::http::refusal::Refusal;
use crate::keys::token;
use crate::service::{Credentials, Service};

const SHAPE: &str =
    "POST takes an object, which may have anyway, client_version and extension_version";

/// Issues a token to an account that has a subscription and fewer than four devices.
pub(super) async fn issue(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    credentials: Credentials,
    request: Request,
) -> Result<Json<TokenResponse>, Refusal> {
    let wish: TokenRequest = body::read(request, SHAPE).await?;
    for version in [&wish.client_version, &wish.extension_version] {
        check_optional(version.as_ref(), check_version)?;
    }
    let account = service.authenticate(peer.network, credentials).await?;
    let now = clock::unix_now();
    let expires = expiry(&account, now)?;
    if !wish.anyway && service.devices(account.id).await? >= MAX_DEVICES {
        return Err(Refusal::DevicesFull);
    }
    let taken = service
        .tokens
        .take(service.salt.subject(account.id), Instant::now());
    taken.map_err(Refusal::TooManyTokens)?;
    let token = service
        .signer
        .sign(&claims(&service, &account, expires, now)?)?;
    service
        .marks
        .authenticated(&account, wish.client_version, wish.extension_version);
    Ok(Json(TokenResponse {
        token,
        expires,
        ca: service.authority.pem().to_owned(),
    }))
}

fn expiry(account: &Account, now: u64) -> Result<u64, Refusal> {
    let draw = u64::from_be_bytes(random::bytes()?);
    token::expiry(now, account, draw).ok_or(Refusal::SubscriptionEnded)
}

/// The claims that follow from the user's choices and from what has been paid for.
fn claims(service: &Service, account: &Account, exp: u64, now: u64) -> Result<Claims, Refusal> {
    Ok(Claims {
        ticket: service.tickets.seal(account.id, exp, now)?,
        exp,
        ipv6: account.has_ipv6.0,
        streaming: account.streaming.0,
        public_ipv4: token::carries(account.ipv4, exp),
        multihop: token::carries(account.multihop, exp),
    })
}
