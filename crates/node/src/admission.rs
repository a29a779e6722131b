//! Admission: the node shows its secret to the account service and has its TLS key certified.
//!
//! Without a certificate no client can enrol and no session is counted, so the node never stops
//! trying.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rand_core::{OsRng, RngCore as _};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

use mayfly_wire::MAX_BODY;
use mayfly_wire::admission::{AdmissionRequest, AdmissionResponse};

use crate::accounts_link::{AccountsLink, ServiceError};
use crate::clock::Clock;
use crate::settings::{NodeName, Secret};
use crate::tls::Identity;

/// How long one attempt may take.
const ATTEMPT_TIME: Duration = Duration::from_secs(10);
/// The first pause after a failure. Each failure doubles it, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The shortest time for which a certificate is used before it is renewed.
const SHORTEST_USE: Duration = Duration::from_secs(60);
/// The longest: two thirds of a day, which is how long a certificate lasts. By a clock that is slow
/// and has not been set yet, it looks like years.
const LONGEST_USE: Duration = Duration::from_secs(16 * 60 * 60);

/// What the node asks to be admitted with.
pub(crate) struct Admission {
    /// The node's name in the operator's register.
    pub name: NodeName,
    /// The secret that the node shows.
    pub secret: Secret,
    /// The key to certify.
    pub identity: Arc<Identity>,
    /// The node's clock.
    pub clock: Clock,
}

/// Keeps the node's certificate fresh: asks for a new one after two thirds of its life. Does not
/// return.
pub(crate) async fn run(admission: Admission, accounts: Arc<AccountsLink>) {
    let mut pause = FIRST_PAUSE;
    loop {
        match timeout(ATTEMPT_TIME, admission.apply(&accounts)).await {
            Ok(Ok(expires)) => {
                pause = FIRST_PAUSE;
                sleep(used_for(expires, admission.clock.unix_seconds())).await;
            }
            _ => {
                accounts.try_next_address();
                sleep(jittered(pause)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

impl Admission {
    /// Has the key certified. Returns when the certificate ends, in seconds since 1970.
    async fn apply(&self, accounts: &AccountsLink) -> Result<u64, ServiceError> {
        let body = serde_json::to_vec(&AdmissionRequest {
            node: self.name.as_str().to_owned(),
            secret: self.secret.0.to_string(),
            csr: self.identity.signing_request(&self.name)?,
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/nodes")
            .header(HOST, accounts.host())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body.map_err(|_| ServiceError::Answer)?))
            .map_err(|_| ServiceError::Answer)?;
        let admitted = ask(accounts, request).await?;
        self.identity.certify(&admitted.certificate)?;
        Ok(admitted.expires)
    }
}

async fn ask(
    accounts: &AccountsLink,
    request: Request<Full<Bytes>>,
) -> Result<AdmissionResponse, ServiceError> {
    let stream = accounts.connect().await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ServiceError::Answer)?;
    let connection = spawn_local(connection);
    let answer = sender
        .send_request(request)
        .await
        .map_err(|_| ServiceError::Answer)?;
    if answer.status() != StatusCode::OK {
        return Err(ServiceError::Answer);
    }
    let body = Limited::new(answer.into_body(), MAX_BODY).collect().await;
    connection.abort();
    let body = body.map_err(|_| ServiceError::Answer)?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| ServiceError::Answer)
}

/// How long a certificate is used that ends at `expires`.
fn used_for(expires: u64, now: u64) -> Duration {
    let life = Duration::from_secs(expires.saturating_sub(now));
    (life * 2 / 3).clamp(SHORTEST_USE, LONGEST_USE)
}

/// Draws between half of the pause and the pause, so that nodes that boot together do not ask
/// together.
fn jittered(pause: Duration) -> Duration {
    let half = pause / 2;
    half + half.mul_f64(f64::from(OsRng.next_u32()) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_within_its_day_by_a_slow_clock_too() {
        let (now, day) = (1_800_000_000, 86_400);
        assert_eq!(used_for(now + day, now), LONGEST_USE);
        assert_eq!(used_for(now + day / 2, now), LONGEST_USE / 2);
        assert_eq!(used_for(now + day, 0), LONGEST_USE);
        assert_eq!(used_for(now, now + day), SHORTEST_USE);
    }
}
