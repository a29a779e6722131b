//! `POST /v1/payments`: the operator's shop reports that an account has been paid for.

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use mayfly_wire::payment::Payment;

use super::credentials::ShopKey;
use super::{Shared, body};
use crate::core::clock;
use crate::core::fields::check_payment;
use crate::core::payments::{self, check_days};
use crate::core::record::Account;
use crate::http::listener::Peer;
use crate::http::refusal::Refusal;

const SHAPE: &str =
    "POST takes {payment, username} and any of subscription_days, ipv4_days, multihop_days";

/// Extends what was paid for. A repeated payment changes nothing and gets the same answer.
pub(super) async fn take(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    ShopKey(key): ShopKey,
    request: Request,
) -> Result<StatusCode, Refusal> {
    service.take_failure(peer.network)?;
    if !service.shop.accepts(&key).await? {
        return Err(Refusal::ShopKeyWrong);
    }
    service.failures.give_back(peer.network);
    let payment: Payment = body::read(request, SHAPE).await?;
    check_payment(&payment.payment)?;
    check_days(&payment)?;
    let now = clock::unix_now();
    let proof = service.payments.proof(&payment.payment, now);
    let username = payment.username.clone();
    let give = move |account: &mut Account| payments::extend(account, &payment, now);
    service.store.pay(proof, username, give).await?;
    Ok(StatusCode::NO_CONTENT)
}
