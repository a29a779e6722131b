//! The fields of the record that its owner may change: those of the sign-up.
//!
//! The owner cannot change when the account was made and edited, what its use has shown, what has
//! been paid for, and what is counted.

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::core::clock;
use crate::core::fields::{self, Invalid, check_optional};
use crate::core::record::{Account, Flag, Moment, PasswordHash};

/// Body of `PATCH /v1/account`, a merge patch (RFC 7396). A field that is not named stays. Null
/// removes a field that may be missing. The fields are those of [`Account`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Rectify {
    #[serde(deserialize_with = "named")]
    pub username: Option<String>,
    #[serde(deserialize_with = "named")]
    pub password: Option<Zeroizing<String>>,
    #[serde(deserialize_with = "named")]
    pub email: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub newsletter: Option<Flag>,
    #[serde(deserialize_with = "named")]
    pub has_ipv6: Option<Flag>,
    #[serde(deserialize_with = "named")]
    pub compression: Option<Flag>,
    #[serde(deserialize_with = "named")]
    pub streaming: Option<Flag>,
    #[serde(deserialize_with = "named")]
    pub language: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub currency: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub country: Option<Option<String>>,
    #[serde(deserialize_with = "named")]
    pub campaign: Option<Option<String>>,
}

/// The fields of [`Rectify`], for a client whose body is malformed.
pub(crate) const RECTIFY_SHAPE: &str = "PATCH takes an object with any of username, password, email, newsletter, has_ipv6, \
     compression, streaming, language, currency, country, campaign; null removes one that may be missing";

/// Distinguishes a field that is null from a field that is missing.
fn named<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Rectify {
    /// Checks every field against its rule.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let said = |field: &Option<Option<String>>| field.clone().flatten();
        check_optional(self.username.as_ref(), fields::check_username)?;
        check_optional(self.password.as_deref(), fields::check_password)?;
        check_optional(said(&self.email).as_ref(), fields::check_email)?;
        check_optional(said(&self.language).as_ref(), fields::check_language)?;
        check_optional(said(&self.currency).as_ref(), fields::check_currency)?;
        check_optional(said(&self.country).as_ref(), fields::check_country)?;
        check_optional(said(&self.campaign).as_ref(), fields::check_campaign)
    }

    /// Changes the account. `password` is the hash of the new password, if there is one.
    pub(crate) fn apply(self, password: Option<PasswordHash>, account: &mut Account, now: u64) {
        change(&mut account.username, self.username);
        change(&mut account.password, password);
        change(&mut account.email, self.email);
        change(&mut account.newsletter, self.newsletter);
        change(&mut account.has_ipv6, self.has_ipv6);
        change(&mut account.compression, self.compression);
        change(&mut account.streaming, self.streaming);
        change(&mut account.language, self.language);
        change(&mut account.currency, self.currency);
        change(&mut account.country, self.country);
        change(&mut account.campaign, self.campaign);
        account.updated_at = Moment(clock::floor_hour(now));
    }
}

fn change<T>(field: &mut T, to: Option<T>) {
    if let Some(to) = to {
        *field = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::sign_up::{new_account, plain_sign_up};

    fn account() -> Account {
        let sign_up = plain_sign_up("ann".to_owned(), String::new());
        let mut account = new_account(sign_up, PasswordHash("hash".to_owned()), 0).unwrap();
        account.email = Some("ann@mail.example".to_owned());
        account
    }

    fn rectified(body: &str) -> Account {
        let mut account = account();
        let rectify: Rectify = serde_json::from_str(body).unwrap();
        rectify.check().unwrap();
        rectify.apply(None, &mut account, 3 * clock::HOUR + 5);
        account
    }

    #[test]
    fn what_is_not_named_stays_and_null_takes_away() {
        let account = rectified(r#"{"newsletter": true}"#);
        assert!(account.newsletter.0);
        assert_eq!(account.email.as_deref(), Some("ann@mail.example"));
        assert_eq!(rectified(r#"{"email": null}"#).email, None);
    }

    #[test]
    fn of_the_time_of_an_edit_the_hour_is_kept() {
        let account = rectified("{}");
        assert_eq!(account.updated_at.0, 3 * clock::HOUR);
        assert_eq!(account.created_at.0, 0);
    }

    #[test]
    fn nobody_edits_what_is_not_theirs_to_say() {
        for field in [
            "id",
            "created_at",
            "updated_at",
            "has_authenticated",
            "has_connected",
            "devices",
            "subscription",
            "ipv4",
            "multihop",
            "client_version",
            "extension_version",
        ] {
            let body = format!(r#"{{"{field}": 1}}"#);
            assert!(serde_json::from_str::<Rectify>(&body).is_err(), "{field}");
        }
    }

    #[test]
    fn an_account_is_never_without_a_name_a_password_or_a_choice() {
        for field in ["username", "password", "newsletter", "streaming"] {
            let body = format!(r#"{{"{field}": null}}"#);
            assert!(serde_json::from_str::<Rectify>(&body).is_err(), "{field}");
        }
    }
}
