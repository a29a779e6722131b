//! `POST /v1/accounts`: sign-up. `/v1/account`: the owner copies the record (`GET`), rectifies it
//! (`PATCH`) and erases it (`DELETE`).

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::{Shared, body};
use crate::core::clock;
use crate::core::record::{Account, Record};
use crate::core::rectify::{RECTIFY_SHAPE, Rectify};
use crate::core::sign_up::{SIGN_UP_SHAPE, SignUp, new_account};
use crate::http::listener::Peer;
use crate::http::refusal::Refusal;
use crate::service::{Credentials, Service};

/// Makes an account. It has no subscription until a payment or the operator extends it.
pub(super) async fn sign_up(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let mut sign_up: SignUp = body::read(request, SIGN_UP_SHAPE).await?;
    sign_up.check()?;
    let taken = service.sign_ups.take(peer.network, Instant::now());
    taken.map_err(Refusal::TooManySignUps)?;
    let password = service
        .passwords
        .hash(std::mem::take(&mut sign_up.password))
        .await?;
    let account = new_account(sign_up, password, clock::unix_now())?;
    service.store.create(account).await?;
    Ok(StatusCode::CREATED)
}

/// Returns the complete record to its owner.
pub(super) async fn copy(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    credentials: Credentials,
) -> Result<Json<Record>, Refusal> {
    let account = service.authenticate(peer.network, credentials).await?;
    record(&service, account).await
}

/// Changes the fields that the owner names, and returns the record as it is then.
pub(super) async fn rectify(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    credentials: Credentials,
    request: Request,
) -> Result<Json<Record>, Refusal> {
    let mut rectify: Rectify = body::read(request, RECTIFY_SHAPE).await?;
    rectify.check()?;
    let account = service.authenticate(peer.network, credentials).await?;
    let password = match rectify.password.take() {
        Some(password) => Some(service.passwords.hash(password).await?),
        None => None,
    };
    let now = clock::unix_now();
    let changed = service.store.edit(account.id, move |account| {
        rectify.apply(password, account, now);
        account.clone()
    });
    record(&service, changed.await?).await
}

/// Erases the account with everything that the store keeps of it. Its sessions end when its nodes
/// report them again.
pub(super) async fn erase(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    credentials: Credentials,
) -> Result<StatusCode, Refusal> {
    let account = service.authenticate(peer.network, credentials).await?;
    service.erase(account.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn record(service: &Service, account: Account) -> Result<Json<Record>, Refusal> {
    let devices = service.devices(account.id).await?;
    Ok(Json(Record::new(account, Some(devices))))
}
