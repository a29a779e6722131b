//! `POST /v1/replicas/..`: requests of other processes of this service to the leader.
//!
//! Bodies are bytes, not JSON, because both ends are this program.

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;

use super::Shared;
use crate::core::clock;
use crate::core::record::AccountId;
use crate::counter::NotLeader;
use crate::http::listener::Peer;
use crate::http::refusal::Refusal;
use crate::keys::authority::REPLICA;

/// The number of an account's devices: its id in, one byte out.
pub(super) async fn devices(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Vec<u8>, Refusal> {
    let account = known(&peer, body.as_ref().try_into().ok())?;
    let devices = service.counter.devices(AccountId(account)).await?;
    Ok(vec![devices])
}

/// Adds the ticket keys of another process, and returns all keys that are known then.
pub(super) async fn ticket_keys(
    State(service): Shared,
    Extension(peer): Extension<Peer>,
    body: Bytes,
) -> Result<Vec<u8>, Refusal> {
    known(&peer, Some(()))?;
    if !service.counter.is_leader() {
        return Err(NotLeader.into());
    }
    service.tickets.merge(&body, clock::unix_now())?;
    Ok(service.tickets.export().to_vec())
}

/// Only other replicas may call this: for everyone else the path does not exist.
fn known<T>(peer: &Peer, asked: Option<T>) -> Result<T, Refusal> {
    let shown = peer.certificate.as_ref().map(|shown| shown.name.as_ref());
    let is_ours = shown == Some(REPLICA);
    asked.filter(|_| is_ours).ok_or(Refusal::NoSuchRoute)
}
