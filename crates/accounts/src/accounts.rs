//! How an account begins, and how long a subscription lasts.

use zeroize::Zeroizing;

use crate::clock;
use crate::random::{self, NoRandomness};
use crate::record::{Account, AccountId, Flag, Moment, PasswordHash};
use crate::sign_up::SignUp;

/// A sign-up that says nothing but user name and password.
pub fn plain_sign_up(username: String, password: String) -> SignUp {
    SignUp {
        username,
        password: Zeroizing::new(password),
        ..SignUp::default()
    }
}

/// The account of a checked sign-up, without a subscription.
///
/// # Errors
/// [`NoRandomness`].
pub fn new_account(
    sign_up: SignUp,
    password: PasswordHash,
    now: u64,
) -> Result<Account, NoRandomness> {
    // Floored both: `updated_at` would tell what `created_at` hides.
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

/// The end of a subscription that gets `days` more: after its present end, if that is to come.
/// Ends are whole hours, so that a token, whose end is one too, can last as long.
pub fn extended(end: Option<Moment>, days: u32, now: u64) -> Moment {
    let from = end.map_or(now, |end| end.0.max(now));
    let seconds = u64::from(days) * clock::DAY;
    Moment(clock::ceil_hour(from.saturating_add(seconds)).min(clock::LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_subscription_is_extended_from_its_end_and_an_ended_one_from_now() {
        let now = 100 * clock::DAY + 5;
        let running = Moment(120 * clock::DAY);
        assert_eq!(extended(Some(running), 10, now).0, 130 * clock::DAY);
        let ended = Moment(90 * clock::DAY);
        for end in [Some(ended), None] {
            assert_eq!(extended(end, 10, now).0, 110 * clock::DAY + clock::HOUR);
        }
    }

    #[test]
    fn no_end_is_later_than_can_be_written() {
        let end = extended(Some(Moment(clock::LATEST)), u32::MAX, 0);
        assert_eq!(clock::rfc3339(end.0).unwrap(), "9999-12-31T23:00:00Z");
    }
}
