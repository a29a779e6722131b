//! What a new account may say of itself, and the rules for each field.

use serde::Deserialize;
use zeroize::Zeroizing;

/// Body of `POST /v1/accounts`; only the first two are needed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    /// 1 to 64 letters, digits and `. _ -`; upper and lower case are the same.
    pub username: String,
    /// 8 to 256 bytes without control characters.
    pub password: Zeroizing<String>,
    /// At most 254 bytes with one `@` (RFC 5321 section 4.5.3.1).
    #[serde(default)]
    pub email: Option<String>,
    /// Wants the newsletter.
    #[serde(default)]
    pub newsletter: bool,
    /// Wants an inner IPv6 address.
    #[serde(default)]
    pub has_ipv6: bool,
    /// Kept for the clients that show it.
    #[serde(default)]
    pub compression: bool,
    /// Wants the streaming egress address.
    #[serde(default)]
    pub streaming: bool,
    /// A tag of BCP 47, like `en` or `pt-BR`.
    #[serde(default)]
    pub language: Option<String>,
    /// A code of ISO 4217, like `EUR`.
    #[serde(default)]
    pub currency: Option<String>,
    /// A code of ISO 3166-1, like `DE`.
    #[serde(default)]
    pub country: Option<String>,
    /// 1 to 64 letters, digits and `. _ -`.
    #[serde(default)]
    pub campaign: Option<String>,
}

/// The fields of [`SignUp`], for a client that got them wrong.
pub const SIGN_UP_SHAPE: &str = "POST takes {username, password} and may have email, newsletter, has_ipv6, \
     compression, streaming, language, currency, country, campaign";

/// The rule that a field breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// Of the user name.
    Username,
    /// Of the password.
    Password,
    /// Of the e-mail address.
    Email,
    /// Of the language.
    Language,
    /// Of the currency.
    Currency,
    /// Of the country.
    Country,
    /// Of the campaign.
    Campaign,
    /// Of a client's version.
    Version,
}

impl Invalid {
    /// The name of the reason.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Username => "/problems/invalid-username",
            Self::Password => "/problems/invalid-password",
            Self::Email => "/problems/invalid-email",
            Self::Language => "/problems/invalid-language",
            Self::Currency => "/problems/invalid-currency",
            Self::Country => "/problems/invalid-country",
            Self::Campaign => "/problems/invalid-campaign",
            Self::Version => "/problems/invalid-version",
        }
    }

    /// The rule, for a person.
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Username => "a user name is 1 to 64 letters, digits and . _ -",
            Self::Password => "a password is 8 to 256 bytes without control characters",
            Self::Email => "an e-mail address is at most 254 bytes with one @ and no space",
            Self::Language => "a language is a tag like en or pt-BR",
            Self::Currency => "a currency is three capital letters, like EUR",
            Self::Country => "a country is two capital letters, like DE",
            Self::Campaign => "a campaign is 1 to 64 letters, digits and . _ -",
            Self::Version => "a version is 1 to 32 letters, digits and . + -",
        }
    }
}

impl SignUp {
    /// Holds every field against its rule.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> Result<(), Invalid> {
        check_username(&self.username)?;
        check_password(&self.password)?;
        let optional = [
            (&self.email, is_email as fn(&str) -> bool, Invalid::Email),
            (&self.language, is_language, Invalid::Language),
            (&self.currency, |text| is_code(text, 3), Invalid::Currency),
            (&self.country, |text| is_code(text, 2), Invalid::Country),
            (&self.campaign, is_word, Invalid::Campaign),
        ];
        for (field, rule, invalid) in optional {
            if field.as_deref().is_some_and(|text| !rule(text)) {
                return Err(invalid);
            }
        }
        Ok(())
    }
}

/// # Errors
/// [`Invalid::Username`].
pub fn check_username(text: &str) -> Result<(), Invalid> {
    is_word(text).then_some(()).ok_or(Invalid::Username)
}

/// # Errors
/// [`Invalid::Password`].
pub fn check_password(text: &str) -> Result<(), Invalid> {
    // RFC 7617 section 2: no control characters.
    let fits = (8..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then_some(()).ok_or(Invalid::Password)
}

/// # Errors
/// [`Invalid::Version`].
pub fn check_version(text: &str) -> Result<(), Invalid> {
    let fits = (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".+-".contains(&byte));
    fits.then_some(()).ok_or(Invalid::Version)
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn is_email(text: &str) -> bool {
    let plain = |text: &str| {
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    text.len() <= 254
        && text
            .split_once('@')
            .is_some_and(|(local, host)| plain(local) && plain(host) && !host.contains('@'))
}

fn is_language(text: &str) -> bool {
    text.len() <= 35
        && text.split('-').all(|part| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_code(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|byte| byte.is_ascii_uppercase())
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
            ("password", "with\na line", Invalid::Password),
            ("email", "ann", Invalid::Email),
            ("email", "a@b@c", Invalid::Email),
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
    fn an_unknown_field_is_refused() {
        let body = r#"{"username":"ann","password":"long enough","devices":0}"#;
        assert!(serde_json::from_str::<SignUp>(body).is_err());
    }
}
