//! Authentication: a user by name and password (HTTP Basic, RFC 7617), the shop by its key
//! (RFC 6750).

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::http::refusal::Refusal;
use crate::service::Credentials;

/// The key with which a client shows that it is the shop.
pub(super) struct ShopKey(pub(super) Zeroizing<String>);

impl<S: Sync> FromRequestParts<S> for Credentials {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        authorization(parts, "Basic")
            .and_then(parse)
            .ok_or(Refusal::CredentialsMissing)
    }
}

impl<S: Sync> FromRequestParts<S> for ShopKey {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        authorization(parts, "Bearer")
            .map(|key| Self(Zeroizing::new(key.to_owned())))
            .ok_or(Refusal::ShopKeyWrong)
    }
}

/// The credentials after the scheme, if the request uses that scheme.
fn authorization<'a>(parts: &'a Parts, scheme: &str) -> Option<&'a str> {
    let header = parts.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (said, rest) = header.split_once(' ')?;
    said.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

fn parse(encoded: &str) -> Option<Credentials> {
    let pair = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (username, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Credentials {
        username: username.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(header: &str) -> Parts {
        let request = Request::builder().header(AUTHORIZATION, header);
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_password_may_hold_a_colon_and_a_name_may_not() {
        let parts = parts("basic YW5uOmE6Yg==");
        let found = authorization(&parts, "Basic").and_then(parse).unwrap();
        assert_eq!(
            (found.username.as_str(), found.password.as_str()),
            ("ann", "a:b")
        );
    }

    #[test]
    fn anything_else_is_none() {
        for header in ["", "Basic", "Basic ?", "Basic YW5u", "Bearer YW5uOmE6Yg=="] {
            let found = authorization(&parts(header), "Basic").and_then(parse);
            assert!(found.is_none(), "{header}");
        }
    }
}
