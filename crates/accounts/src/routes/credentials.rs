//! User name and password by HTTP Basic authentication (RFC 7617).

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::refusal::Refusal;

/// What the client says it is.
pub(super) struct Credentials {
    pub(super) username: String,
    pub(super) password: Zeroizing<String>,
}

impl<S: Sync> FromRequestParts<S> for Credentials {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let header = parts.headers.get(AUTHORIZATION);
        let text = header.and_then(|header| header.to_str().ok());
        text.and_then(parse).ok_or(Refusal::CredentialsMissing)
    }
}

fn parse(header: &str) -> Option<Credentials> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (username, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
    Some(Credentials {
        username: username.to_owned(),
        password: Zeroizing::new(password.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_a_colon_and_a_name_may_not() {
        let found = parse("basic YW5uOmE6Yg==").unwrap();
        assert_eq!(
            (found.username.as_str(), found.password.as_str()),
            ("ann", "a:b")
        );
    }

    #[test]
    fn anything_else_is_none() {
        for header in ["", "Basic", "Basic ?", "Basic YW5u", "Bearer YW5uOmE6Yg=="] {
            assert!(parse(header).is_none(), "{header}");
        }
    }
}
