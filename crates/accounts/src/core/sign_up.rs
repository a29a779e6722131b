//! How an account begins: the fields of a sign-up, and the record made from them.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::core::clock;
use crate::core::fields::{self, Invalid, check_optional};
use crate::core::random::{self, NoRandomness};
use crate::core::record::{Account, AccountId, Flag, Moment, PasswordHash};

/// Body of `POST /v1/accounts`. Only the first two fields are required. [`fields`] has the rules.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignUp {
    /// Upper and lower case count as the same.
    pub username: String,
    /// Stored as a hash.
    pub password: Zeroizing<String>,
    /// E-mail address.
    #[serde(default)]
    pub email: Option<String>,
    /// Wants the newsletter.
    #[serde(default)]
    pub newsletter: Flag,
    /// Wants an inner IPv6 address.
    #[serde(default)]
    pub has_ipv6: Flag,
    /// Stored for clients that show it; WireGuard does not compress.
    #[serde(default)]
    pub compression: Flag,
    /// Wants the streaming egress address.
    #[serde(default)]
    pub streaming: Flag,
    /// The user's language.
    #[serde(default)]
    pub language: Option<String>,
    /// The currency that the user pays in.
    #[serde(default)]
    pub currency: Option<String>,
    /// The user's country.
    #[serde(default)]
    pub country: Option<String>,
    /// The campaign that led to the sign-up.
    #[serde(default)]
    pub campaign: Option<String>,
}

/// The fields of [`SignUp`], for a client whose body is malformed.
pub(crate) const SIGN_UP_SHAPE: &str = "POST takes {username, password} and may have email, newsletter, has_ipv6, \
     compression, streaming, language, currency, country, campaign";

impl SignUp {
    /// Checks every field against its rule.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        fields::check_username(&self.username)?;
        fields::check_password(&self.password)?;
        check_optional(self.email.as_ref(), fields::check_email)?;
        check_optional(self.language.as_ref(), fields::check_language)?;
        check_optional(self.currency.as_ref(), fields::check_currency)?;
        check_optional(self.country.as_ref(), fields::check_country)?;
        check_optional(self.campaign.as_ref(), fields::check_campaign)
    }
}

/// A sign-up with only a user name and a password.
pub(crate) fn plain_sign_up(username: String, password: String) -> SignUp {
    SignUp {
        username,
        password: Zeroizing::new(password),
        ..SignUp::default()
    }
}

/// The account for a sign-up that was checked. It has no subscription.
///
/// # Errors
/// [`NoRandomness`].
pub(crate) fn new_account(
    sign_up: SignUp,
    password: PasswordHash,
    now: u64,
) -> Result<Account, NoRandomness> {
    // Both are floored. Otherwise `updated_at` would tell the minute that `created_at` hides.
    let hour = Moment(clock::floor_hour(now));
    Ok(Account {
        id: AccountId(random::bytes()?),
        username: sign_up.username,
        password,
        email: sign_up.email,
        created_at: hour,
        updated_at: hour,
        newsletter: sign_up.newsletter,
        has_authenticated: Flag(false),
        has_connected: Flag(false),
        has_ipv6: sign_up.has_ipv6,
        compression: sign_up.compression,
        streaming: sign_up.streaming,
        language: sign_up.language,
        currency: sign_up.currency,
        country: sign_up.country,
        campaign: sign_up.campaign,
        subscription: None,
        ipv4: None,
        multihop: None,
        client_version: None,
        extension_version: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign_up(field: &str, value: &str) -> Result<(), Invalid> {
        let mut body = serde_json::json!({"username": "ann", "password": "long enough"});
        body[field] = value.into();
        serde_json::from_value::<SignUp>(body).unwrap().check()
    }

    #[test]
    fn each_field_has_a_rule_of_its_own() {
        let wrong = [
            ("username", "a:b", Invalid::Username),
            ("password", "short", Invalid::Password),
            ("email", "ann", Invalid::Email),
            ("language", "en_GB", Invalid::Language),
            ("currency", "eur", Invalid::Currency),
            ("country", "DEU", Invalid::Country),
            ("campaign", "", Invalid::Campaign),
        ];
        for (field, value, invalid) in wrong {
            assert_eq!(sign_up(field, value), Err(invalid), "{field}");
        }
    }

    #[test]
    fn what_fits_is_taken() {
        let right = [
            ("username", "Ann.Smith_1"),
            ("email", "ann@mail.example"),
            ("language", "pt-BR"),
            ("currency", "EUR"),
            ("country", "DE"),
            ("campaign", "spring-2026"),
        ];
        for (field, value) in right {
            assert_eq!(sign_up(field, value), Ok(()), "{field}");
        }
    }

    #[test]
    fn a_flag_is_written_either_way_and_nothing_else() {
        let flag = |text: &str| {
            let body = format!(r#"{{"username":"a","password":"b","streaming":{text}}}"#);
            serde_json::from_str::<SignUp>(&body)
                .ok()
                .map(|sign_up| sign_up.streaming.0)
        };
        assert_eq!(["1", "true"].map(flag), [Some(true); 2]);
        assert_eq!(["0", "false"].map(flag), [Some(false); 2]);
        assert_eq!(["2", "-1", "null", "\"1\""].map(flag), [None; 4]);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let body = r#"{"username":"ann","password":"long enough","devices":0}"#;
        assert!(serde_json::from_str::<SignUp>(body).is_err());
    }
}
