//! `POST /v1/accounts`: sign-up. `GET /v1/account`: the full record.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::credentials::Credentials;
use super::{Shared, body};
use crate::accounts::new_account;
use crate::clock;
use crate::listener::Peer;
use crate::record::Record;
use crate::refusal::Refusal;
use crate::sign_up::{SIGN_UP_SHAPE, SignUp};

/// Makes an account. It has no subscription; the operator extends it.
pub(super) async fn sign_up(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let mut sign_up: SignUp = body::read(request, SIGN_UP_SHAPE).await?;
    sign_up.check().map_err(Refusal::Invalid)?;
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

/// The record, all of it, to its owner.
pub(super) async fn copy(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    credentials: Credentials,
) -> Result<Json<Record>, Refusal> {
    let Credentials { username, password } = credentials;
    let account = service
        .authenticate(peer.network, username, password)
        .await?;
    let devices = service.counter.devices(account.id).await?;
    Ok(Json(Record::new(account, Some(devices))))
}
