//! The rules for the fields that a user fills in. Each rule is named.
//!
//! `openapi.json` states the same rules as patterns. A test compares the two.

mod codes;

/// The rule that a field breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// The rule for user names.
    Username,
    /// The rule for passwords.
    Password,
    /// The rule for e-mail addresses.
    Email,
    /// The rule for languages.
    Language,
    /// The rule for currencies.
    Currency,
    /// The rule for countries.
    Country,
    /// The rule for campaigns.
    Campaign,
    /// The rule for versions of clients and extensions.
    Version,
    /// The rule for the numbers of payments.
    Payment,
    /// The rule for the days that a payment is for.
    Days,
}

impl Invalid {
    /// The type of the problem document.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Username => "/problems/invalid-username",
            Self::Password => "/problems/invalid-password",
            Self::Email => "/problems/invalid-email",
            Self::Language => "/problems/invalid-language",
            Self::Currency => "/problems/invalid-currency",
            Self::Country => "/problems/invalid-country",
            Self::Campaign => "/problems/invalid-campaign",
            Self::Version => "/problems/invalid-version",
            Self::Payment => "/problems/invalid-payment",
            Self::Days => "/problems/invalid-days",
        }
    }

    /// The rule, in words for the user.
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::Username => "a user name is 1 to 64 letters, digits and . _ -",
            Self::Password => "a password is 8 to 256 characters, none of them a control character",
            Self::Email => {
                "an e-mail address is NAME@DOMAIN in ASCII, at most 254 characters; \
                 a domain in other letters is written in its xn-- form"
            }
            Self::Language => "a language is a tag like en, pt-BR or zh-Hant-TW",
            Self::Currency => "a currency is a code of ISO 4217, like EUR",
            Self::Country => "a country is a code of ISO 3166-1, like DE",
            Self::Campaign => "a campaign is 1 to 64 letters, digits and . _ -",
            Self::Version => "a version is 1 to 32 letters, digits and . + -",
            Self::Payment => "a payment's number is 8 to 255 printable ASCII characters",
            Self::Days => "a payment is for at least one day, and each part for at most 3660",
        }
    }
}

/// # Errors
/// [`Invalid::Username`].
pub(crate) fn check_username(text: &str) -> Result<(), Invalid> {
    is_word(text).then_some(()).ok_or(Invalid::Username)
}

/// # Errors
/// [`Invalid::Password`].
pub(crate) fn check_password(text: &str) -> Result<(), Invalid> {
    // RFC 7617 section 2: no control characters.
    let fits = (8..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then_some(()).ok_or(Invalid::Password)
}

/// # Errors
/// [`Invalid::Email`].
pub(crate) fn check_email(text: &str) -> Result<(), Invalid> {
    let fits = text.len() <= 254
        && text
            .split_once('@')
            .is_some_and(|(local, domain)| is_local_part(local) && is_domain(domain));
    fits.then_some(()).ok_or(Invalid::Email)
}

/// # Errors
/// [`Invalid::Language`].
pub(crate) fn check_language(text: &str) -> Result<(), Invalid> {
    is_language(text).then_some(()).ok_or(Invalid::Language)
}

/// # Errors
/// [`Invalid::Currency`].
pub(crate) fn check_currency(text: &str) -> Result<(), Invalid> {
    let known = codes::CURRENCIES.split(' ').any(|code| code == text);
    known.then_some(()).ok_or(Invalid::Currency)
}

/// # Errors
/// [`Invalid::Country`].
pub(crate) fn check_country(text: &str) -> Result<(), Invalid> {
    let known = codes::COUNTRIES.split(' ').any(|code| code == text);
    known.then_some(()).ok_or(Invalid::Country)
}

/// # Errors
/// [`Invalid::Campaign`].
pub(crate) fn check_campaign(text: &str) -> Result<(), Invalid> {
    is_word(text).then_some(()).ok_or(Invalid::Campaign)
}

/// # Errors
/// [`Invalid::Version`].
pub(crate) fn check_version(text: &str) -> Result<(), Invalid> {
    is_made_of(text, 1..=32, |byte| {
        byte.is_ascii_alphanumeric() || b".+-".contains(&byte)
    })
    .then_some(())
    .ok_or(Invalid::Version)
}

/// # Errors
/// [`Invalid::Payment`].
pub(crate) fn check_payment(text: &str) -> Result<(), Invalid> {
    is_made_of(text, 8..=255, |byte| byte.is_ascii_graphic())
        .then_some(())
        .ok_or(Invalid::Payment)
}

/// Checks a field that may be missing.
///
/// # Errors
/// The error of `check`.
pub(crate) fn check_optional(
    field: Option<&String>,
    check: fn(&str) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    field.map_or(Ok(()), |text| check(text))
}

fn is_made_of(
    text: &str,
    length: std::ops::RangeInclusive<usize>,
    of: impl Fn(u8) -> bool,
) -> bool {
    length.contains(&text.len()) && text.bytes().all(of)
}

fn is_word(text: &str) -> bool {
    is_made_of(text, 1..=64, |byte| {
        byte.is_ascii_alphanumeric() || b"._-".contains(&byte)
    })
}

/// A dot-atom (RFC 5322 section 3.2.3) of at most 64 characters (RFC 5321 section 4.5.3.1).
fn is_local_part(text: &str) -> bool {
    let is_atom = |atom: &str| {
        is_made_of(atom, 1..=64, |byte| {
            byte.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~-".contains(&byte)
        })
    };
    text.len() <= 64 && text.split('.').all(is_atom)
}

/// At least two labels (RFC 1123 section 2.1).
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        is_made_of(label, 1..=63, |byte| {
            byte.is_ascii_alphanumeric() || byte == b'-'
        }) && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.contains('.') && text.split('.').all(is_label)
}

/// The part of a BCP 47 tag that names a language: language, script, region (RFC 5646 section 2.1).
fn is_language(text: &str) -> bool {
    let mut parts = text.split('-').peekable();
    let letters = |part: &&str| part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_primary = |part: &&str| (2..=3).contains(&part.len()) && letters(part);
    let is_region = |part: &&str| {
        part.len() == 2 && letters(part)
            || part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    parts.next_if(is_primary).is_some() && {
        parts.next_if(|part| part.len() == 4 && letters(part));
        parts.next_if(is_region);
        parts.next().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_name_at_a_domain() {
        for right in [
            "ann@mail.example",
            "a.b+c@xn--bcher-kva.example",
            "o'x@a-b.c",
        ] {
            assert_eq!(check_email(right), Ok(()), "{right}");
        }
        let long = format!("{}@mail.example", "a".repeat(65));
        for wrong in [
            "", "ann", "a@b", "a@b@c.d", "a b@c.d", ".a@b.c", "a..b@c.d", "a@-b.c", "a@b..c",
            "ä@b.c", "a@b.c\n", &long,
        ] {
            assert_eq!(check_email(wrong), Err(Invalid::Email), "{wrong}");
        }
    }

    #[test]
    fn a_language_is_a_language_with_a_script_and_a_region_at_most() {
        for right in ["en", "gsw", "pt-BR", "zh-Hant-TW", "es-419", "sr-Latn"] {
            assert_eq!(check_language(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "e",
            "english",
            "en_GB",
            "en-",
            "en-G",
            "zh-TW-Hant",
            "en-GB-oed",
        ] {
            assert_eq!(check_language(wrong), Err(Invalid::Language), "{wrong}");
        }
    }

    #[test]
    fn countries_and_currencies_are_those_that_there_are() {
        assert_eq!(codes::COUNTRIES.split(' ').count(), 249);
        assert_eq!(
            (check_country("DE"), check_currency("EUR")),
            (Ok(()), Ok(()))
        );
        for wrong in ["", "de", "ZZ", "DE ", "DE AT", "DEU"] {
            assert_eq!(check_country(wrong), Err(Invalid::Country), "{wrong}");
        }
        for wrong in ["", "eur", "XXX", "EUR GBP"] {
            assert_eq!(check_currency(wrong), Err(Invalid::Currency), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_counted_in_characters() {
        assert_eq!(check_password(&"ü".repeat(256)), Ok(()));
        for wrong in ["short", "with\na line", &"a".repeat(257)] {
            assert_eq!(check_password(wrong), Err(Invalid::Password));
        }
    }
}
