//! Every refusal of the service, as a problem document (RFC 9457). The floors below have errors of
//! their own; here they become documents.

use std::io;
use std::time::Duration;

use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mayfly_wire::Problem;

use crate::core::error::StoreError;
use crate::core::fields::Invalid;
use crate::core::password;
use crate::core::random::NoRandomness;
use crate::counter::NotLeader;
use crate::keys::authority::CertifyError;
use crate::keys::tickets::TicketError;
use crate::service::{LoginError, TooManyFailures};

/// Why a request was refused. The document tells the rule, and never repeats the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The path does not exist.
    NoSuchRoute,
    /// The path does not take this method. Holds the methods that it takes.
    NoSuchMethod(&'static str),
    /// The body is over [`mayfly_wire::MAX_BODY`].
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyTooSlow,
    /// The content type of the body is not JSON.
    MediaTypeWrong,
    /// The body is not the expected JSON object. Holds what was expected.
    BodyMalformed(&'static str),
    /// A field breaks a rule.
    Invalid(Invalid),
    /// Another account has the user name.
    NameTaken,
    /// HTTP Basic authentication is missing or malformed.
    CredentialsMissing,
    /// Unknown user or wrong password. The document does not tell which.
    CredentialsWrong,
    /// The account has been erased, or never existed.
    NoSuchAccount,
    /// The shop's key is missing or wrong.
    ShopKeyWrong,
    /// The account never had a subscription, or it has ended.
    SubscriptionEnded,
    /// Four devices are connected.
    DevicesFull,
    /// The account has used up its tokens.
    TooManyTokens(Duration),
    /// The client's network has used up its sign-ups.
    TooManySignUps(Duration),
    /// The client's network has used up its failures.
    TooManyFailures(Duration),
    /// No node has this name and secret.
    NodeUnknown,
    /// The certificate signing request does not parse, or its signature is wrong.
    CsrMalformed,
    /// The client showed no certificate of this service's authority.
    CertificateMissing,
    /// The node was revoked or registered again after its certificate was made.
    CertificateRevoked,
    /// The request does not ask for a WebSocket.
    NoWebSocket,
    /// This process is not the leader, and the leader cannot be reached.
    NotCounting,
    /// Too many passwords are waiting to be hashed.
    Busy,
    /// A fault of the service.
    Internal,
}

impl Refusal {
    /// The problem document of the refusal.
    pub(crate) fn problem(self) -> Problem {
        let (status, kind, title) = self.document();
        let problem = Problem::new(status, kind, title);
        match self {
            Self::BodyMalformed(expected) => problem.detail(expected),
            Self::Invalid(invalid) => problem.detail(invalid.rule()),
            Self::DevicesFull => problem.detail(
                "disconnect a device, or ask with \"anyway\": true to renew or to move one",
            ),
            Self::SubscriptionEnded => problem.detail("extend the subscription"),
            Self::MediaTypeWrong => problem.detail("send Content-Type: application/json"),
            Self::ShopKeyWrong => problem.detail(
                "send Authorization: Bearer KEY, with a key of `mayfly-accounts keys shop`",
            ),
            Self::NotCounting => {
                problem.detail("try again in a few seconds; a node, at the next address")
            }
            Self::CertificateMissing => problem.detail("POST /v1/nodes certifies a node's key"),
            Self::NodeUnknown | Self::CertificateRevoked => {
                problem.detail("`mayfly-accounts ca node NAME` makes a new secret")
            }
            _ => problem,
        }
    }

    fn document(self) -> (u16, &'static str, &'static str) {
        match self {
            Self::NoSuchRoute => (
                404,
                "/problems/no-such-route",
                "There is nothing at this path",
            ),
            Self::NoSuchMethod(_) => (
                405,
                "/problems/no-such-method",
                "This path takes another method",
            ),
            Self::BodyTooLarge => (413, "/problems/body-too-large", "A body is at most 16 KiB"),
            Self::BodyTooSlow => (
                408,
                "/problems/body-too-slow",
                "The body did not arrive in time",
            ),
            Self::MediaTypeWrong => (415, "/problems/media-type-wrong", "The body must be JSON"),
            Self::BodyMalformed(_) => (
                400,
                "/problems/body-malformed",
                "The body is not what was expected",
            ),
            Self::Invalid(invalid) => (400, invalid.kind(), "A field of the body breaks a rule"),
            Self::NameTaken => (409, "/problems/name-taken", "The user name is taken"),
            Self::CredentialsMissing => (
                401,
                "/problems/credentials-missing",
                "User name and password are needed",
            ),
            Self::CredentialsWrong => (
                401,
                "/problems/credentials-wrong",
                "The user name or the password is wrong",
            ),
            Self::NoSuchAccount => (404, "/problems/no-such-account", "There is no such account"),
            Self::ShopKeyWrong => (
                401,
                "/problems/shop-key-wrong",
                "This path is for the operator's shop",
            ),
            Self::SubscriptionEnded => (
                402,
                "/problems/subscription-ended",
                "The account has no subscription",
            ),
            Self::DevicesFull => (409, "/problems/devices-full", "4 of 4 devices connected"),
            Self::TooManyTokens(_) => (
                429,
                "/problems/too-many-tokens",
                "Too many tokens for this account",
            ),
            Self::TooManySignUps(_) => (
                429,
                "/problems/too-many-sign-ups",
                "Too many sign-ups from this network",
            ),
            Self::TooManyFailures(_) => (
                429,
                "/problems/too-many-failures",
                "Too many failures from this network",
            ),
            // Not 401, which would ask for a header that this path does not use.
            Self::NodeUnknown => (
                403,
                "/problems/node-unknown",
                "No node has this name and secret",
            ),
            Self::CsrMalformed => (
                400,
                "/problems/csr-malformed",
                "The certificate signing request is not valid",
            ),
            Self::CertificateMissing => (
                403,
                "/problems/certificate-missing",
                "This path is for certified nodes",
            ),
            Self::CertificateRevoked => (
                403,
                "/problems/certificate-revoked",
                "The node's certificate is no longer accepted",
            ),
            Self::NoWebSocket => (
                400,
                "/problems/no-web-socket",
                "This path takes a WebSocket",
            ),
            Self::NotCounting => (
                503,
                "/problems/not-counting",
                "The process that counts devices cannot be reached",
            ),
            Self::Busy => (503, "/problems/busy", "The service is busy"),
            Self::Internal => (500, "/problems/internal", "The service has failed"),
        }
    }

    /// The header that accompanies some refusals.
    fn header(self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::NoSuchMethod(method) => Some((ALLOW, HeaderValue::from_static(method))),
            Self::CredentialsMissing | Self::CredentialsWrong => {
                // RFC 7617 section 2.1: the credentials are UTF-8.
                let challenge =
                    HeaderValue::from_static("Basic realm=\"mayfly\", charset=\"UTF-8\"");
                Some((WWW_AUTHENTICATE, challenge))
            }
            Self::ShopKeyWrong => Some((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
            Self::TooManyTokens(wait)
            | Self::TooManySignUps(wait)
            | Self::TooManyFailures(wait) => {
                Some((RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1)))
            }
            Self::Busy | Self::NotCounting => Some((RETRY_AFTER, HeaderValue::from(5))),
            _ => None,
        }
    }
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NameTaken => Self::NameTaken,
            StoreError::NoSuchAccount => Self::NoSuchAccount,
            _ => Self::Internal,
        }
    }
}

impl From<LoginError> for Refusal {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Wrong => Self::CredentialsWrong,
            LoginError::TooManyFailures(error) => error.into(),
            LoginError::Password(error) => error.into(),
            LoginError::Store(error) => error.into(),
        }
    }
}

impl From<TooManyFailures> for Refusal {
    fn from(TooManyFailures(wait): TooManyFailures) -> Self {
        Self::TooManyFailures(wait)
    }
}

impl From<password::Error> for Refusal {
    fn from(error: password::Error) -> Self {
        match error {
            password::Error::Busy => Self::Busy,
            _ => Self::Internal,
        }
    }
}

impl From<CertifyError> for Refusal {
    fn from(error: CertifyError) -> Self {
        match error {
            CertifyError::Request => Self::CsrMalformed,
            _ => Self::Internal,
        }
    }
}

impl From<NotLeader> for Refusal {
    fn from(_: NotLeader) -> Self {
        Self::NotCounting
    }
}

impl From<NoRandomness> for Refusal {
    fn from(_: NoRandomness) -> Self {
        Self::Internal
    }
}

impl From<TicketError> for Refusal {
    fn from(_: TicketError) -> Self {
        Self::Internal
    }
}

impl From<jsonwebtoken::errors::Error> for Refusal {
    fn from(_: jsonwebtoken::errors::Error) -> Self {
        Self::Internal
    }
}

/// A file of the service cannot be read or written.
impl From<io::Error> for Refusal {
    fn from(_: io::Error) -> Self {
        Self::Internal
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let problem = self.problem();
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let media_type = HeaderValue::from_static(Problem::MEDIA_TYPE);
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, media_type)], body).into_response();
        if let Some((name, value)) = self.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
