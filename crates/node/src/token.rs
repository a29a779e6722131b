//! Tokens, which are verified offline, with keys that the settings pin.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde::Deserialize;

use mayfly_wire::token::Claims;

use crate::refusal::Refusal;
use crate::settings::TokenKey;

/// The keys of the account service's tokens.
pub(crate) struct Verifier {
    keys: Vec<DecodingKey>,
    validation: Validation,
}

/// The one thing in a token's header that matters (RFC 7515 section 4.1.1).
#[derive(Deserialize)]
struct Header {
    alg: String,
}

impl Verifier {
    /// A verifier that accepts tokens under any of `keys`.
    pub(crate) fn new(keys: &[TokenKey]) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // `verify` checks it by the node's own clock.
        validation.validate_exp = false;
        let keys = keys.iter().map(|key| DecodingKey::from_ed_der(&key.0));
        Self {
            keys: keys.collect(),
            validation,
        }
    }

    /// The claims of a token in JWS compact form, if it is signed under one of the keys and has not
    /// expired at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// `TokenMalformed`, `TokenAlgorithm`, `TokenSignature` or `TokenExpired`, checked in this
    /// order.
    pub(crate) fn verify(&self, token: &str, now: u64) -> Result<Claims, Refusal> {
        // Checked first: a token of another algorithm is refused for that, whatever signed it.
        if algorithm(token).ok_or(Refusal::TokenMalformed)? != "EdDSA" {
            return Err(Refusal::TokenAlgorithm);
        }
        let claims = self.signed_claims(token)?;
        if claims.exp <= now {
            return Err(Refusal::TokenExpired);
        }
        Ok(claims)
    }

    fn signed_claims(&self, token: &str) -> Result<Claims, Refusal> {
        let mut refusal = Refusal::TokenSignature;
        for key in &self.keys {
            match decode::<Claims>(token, key, &self.validation) {
                Ok(token) => return Ok(token.claims),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
                Err(_) => refusal = Refusal::TokenMalformed,
            }
        }
        Err(refusal)
    }
}

fn algorithm(token: &str) -> Option<String> {
    let mut parts = token.split('.');
    let (header, _, _) = (parts.next()?, parts.next()?, parts.next()?);
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    parts.next().is_none().then_some(header.alg)
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::EncodingKey;
    use rcgen::{KeyPair, PKCS_ED25519};

    use mayfly_wire::{TICKET_LEN, Ticket};

    use super::*;

    fn claims(exp: u64) -> Claims {
        Claims {
            ticket: Ticket([4; TICKET_LEN]),
            exp,
            ipv6: false,
            streaming: false,
            public_ipv4: false,
            multihop: false,
        }
    }

    /// A signer, and the public key that a node would pin.
    fn signer() -> (EncodingKey, TokenKey) {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let public = TokenKey(pair.public_key_raw().try_into().unwrap());
        (EncodingKey::from_ed_der(&pair.serialize_der()), public)
    }

    fn sign(key: &EncodingKey, claims: &impl serde::Serialize) -> String {
        let header = jsonwebtoken::Header::new(Algorithm::EdDSA);
        jsonwebtoken::encode(&header, claims, key).unwrap()
    }

    #[test]
    fn a_token_under_any_pinned_key_is_taken_until_its_end() {
        let ((_, old), (key, new)) = (signer(), signer());
        let verifier = Verifier::new(&[old, new]);
        let token = sign(&key, &claims(3600));
        assert_eq!(verifier.verify(&token, 3599).unwrap().exp, 3600);
        assert_eq!(
            verifier.verify(&token, 3600).unwrap_err(),
            Refusal::TokenExpired
        );
    }

    #[test]
    fn a_token_of_another_service_is_refused_by_its_signature() {
        let ((other, _), (_, pinned)) = (signer(), signer());
        let token = sign(&other, &claims(3600));
        assert_eq!(
            Verifier::new(&[pinned]).verify(&token, 0).unwrap_err(),
            Refusal::TokenSignature
        );
    }

    #[test]
    fn changed_claims_are_refused_by_the_signature() {
        let (key, pinned) = signer();
        let token = sign(&key, &claims(3600));
        let forged = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims(7200)).unwrap());
        let mut parts: Vec<_> = token.split('.').collect();
        parts[1] = &forged;
        assert_eq!(
            Verifier::new(&[pinned])
                .verify(&parts.join("."), 0)
                .unwrap_err(),
            Refusal::TokenSignature
        );
    }

    #[test]
    fn no_other_algorithm_is_taken_not_even_none() {
        let (_, pinned) = signer();
        let verifier = Verifier::new(&[pinned]);
        let by_public_key = jsonwebtoken::encode(
            &jsonwebtoken::Header::new(Algorithm::HS256),
            &claims(3600),
            &EncodingKey::from_secret(&pinned.0),
        );
        let body = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims(3600)).unwrap());
        let none = URL_SAFE_NO_PAD.encode(br#"{"alg":"none","typ":"JWT"}"#);
        for token in [by_public_key.unwrap(), format!("{none}.{body}.")] {
            assert_eq!(
                verifier.verify(&token, 0).unwrap_err(),
                Refusal::TokenAlgorithm
            );
        }
    }

    #[test]
    fn what_is_no_token_is_malformed() {
        let (key, pinned) = signer();
        let verifier = Verifier::new(&[pinned]);
        let more = serde_json::json!({"exp": 3600, "user": "x"});
        for token in ["", "a.b.c", "e30.e30.e30", &sign(&key, &more)] {
            assert_eq!(
                verifier.verify(token, 0).unwrap_err(),
                Refusal::TokenMalformed
            );
        }
    }
}
