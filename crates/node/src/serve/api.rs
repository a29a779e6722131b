//! The requests and their answers.

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Instant;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use mayfly_wire::enrol::{EnrolRequest, ReleaseRequest};
use mayfly_wire::{MAX_BODY, PresharedKey, Problem};

use crate::control::Control;
use crate::refusal::Refusal;
use crate::status::Status;

type Answer = Response<Full<Bytes>>;

/// Answers a client. `local` is the address that it connected to.
pub(super) async fn peers(
    request: Request<Incoming>,
    local: Option<IpAddr>,
    control: &RefCell<Control>,
) -> Answer {
    let answer = match (request.uri().path(), request.method()) {
        ("/v1/peers", &Method::POST) => enrol(request, local, control).await,
        ("/v1/peers", &Method::DELETE) => release(request, control).await,
        ("/v1/peers", _) => Err(Refusal::NoSuchMethod),
        _ => Err(Refusal::NoSuchRoute),
    };
    answer.unwrap_or_else(refuse)
}

/// Answers the operator's monitor.
pub(super) fn healthz(request: &Request<Incoming>, control: &RefCell<Control>) -> Answer {
    if (request.uri().path(), request.method()) != ("/healthz", &Method::GET) {
        return refuse(Refusal::NoSuchRoute);
    }
    let status = control.borrow().status();
    let mut answer = Response::new(Full::from(status.word()));
    if status != Status::Ok {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    answer
}

async fn enrol(
    request: Request<Incoming>,
    local: Option<IpAddr>,
    control: &RefCell<Control>,
) -> Result<Answer, Refusal> {
    let bearer = bearer(request.headers());
    let asked: EnrolRequest = body(request).await?;
    let enrolled = control
        .borrow_mut()
        .enrol(&asked, bearer.as_ref(), local, Instant::now())?;
    Ok(json(StatusCode::OK, "application/json", &enrolled))
}

async fn release(
    request: Request<Incoming>,
    control: &RefCell<Control>,
) -> Result<Answer, Refusal> {
    let bearer = bearer(request.headers());
    let asked: ReleaseRequest = body(request).await?;
    control
        .borrow_mut()
        .release(asked.public_key, bearer.as_ref(), Instant::now())?;
    let mut answer = Response::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

/// The pre-shared key of `Authorization: Bearer` (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<PresharedKey> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| key.trim().parse().ok())?
}

async fn body<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let body = request.into_body();
    if body.size_hint().lower() > MAX_BODY as u64 {
        return Err(Refusal::BodyTooLarge);
    }
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|_| Refusal::BodyTooLarge)?.to_bytes();
    serde_json::from_slice(&body).map_err(|_| Refusal::BodyMalformed)
}

fn refuse(refusal: Refusal) -> Answer {
    let problem = refusal.problem();
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = json(status, Problem::MEDIA_TYPE, &problem);
    let headers = answer.headers_mut();
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static("POST, DELETE"));
        }
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    answer
}

fn json(status: StatusCode, media_type: &'static str, body: &impl Serialize) -> Answer {
    // Every answer has a JSON form. If one had none, an empty body would do no harm.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer
}
