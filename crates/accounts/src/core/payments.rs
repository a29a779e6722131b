//! Payments: what a payment extends, and how a repeated payment is recognized.
//!
//! A payment provider repeats a payment for hours or days until it is sure that it was heard. So
//! the number of each payment is kept for that long, as a salted hash. The hash is tied to no
//! account. It is useless without the salt, which is derived from the authority's key and is not
//! in the database. Afterwards the hash is deleted. Of the payment's time, only the hour of that
//! deletion is kept.

use aws_lc_rs::hmac;
use mayfly_wire::payment::Payment;

use crate::core::clock::{HOUR, ceil_hour, floor_hour};
use crate::core::fields::Invalid;
use crate::core::record::{Account, Moment, Proof};
use crate::core::subscription::extended;

/// The most days that one payment may give: ten years.
const MAX_DAYS: u32 = 3660;

/// Makes the proofs of payments.
pub(crate) struct Payments {
    salt: hmac::Key,
    retry_hours: u64,
}

impl Payments {
    /// The provider may repeat a payment for `retry_hours`.
    pub(crate) const fn new(salt: hmac::Key, retry_hours: u64) -> Self {
        Self { salt, retry_hours }
    }

    /// The proof of the payment with that number.
    pub(crate) fn proof(&self, number: &str, now: u64) -> Proof {
        let mut hash = [0; 32];
        hash.copy_from_slice(hmac::sign(&self.salt, number.as_bytes()).as_ref());
        let ends = ceil_hour(now.saturating_add(self.retry_hours * HOUR));
        Proof {
            hash,
            ends: Moment(ends),
        }
    }
}

/// # Errors
/// [`Invalid::Days`]: the payment gives no days, or too many.
pub(crate) fn check_days(payment: &Payment) -> Result<(), Invalid> {
    let parts = parts(payment);
    let fits = parts.iter().all(|&days| days <= MAX_DAYS) && parts.iter().any(|&days| days > 0);
    fits.then_some(()).ok_or(Invalid::Days)
}

fn parts(payment: &Payment) -> [u32; 3] {
    [
        payment.subscription_days,
        payment.ipv4_days,
        payment.multihop_days,
    ]
}

/// Extends what was paid for.
pub(crate) fn extend(account: &mut Account, payment: &Payment, now: u64) {
    let ends = [
        &mut account.subscription,
        &mut account.ipv4,
        &mut account.multihop,
    ];
    for (end, days) in ends.into_iter().zip(parts(payment)) {
        if days > 0 {
            *end = Some(extended(*end, days, now));
        }
    }
    account.updated_at = Moment(floor_hour(now));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::DAY;

    fn payment(subscription_days: u32, ipv4_days: u32) -> Payment {
        Payment {
            payment: "payment-1".to_owned(),
            username: "ann".to_owned(),
            subscription_days,
            ipv4_days,
            multihop_days: 0,
        }
    }

    #[test]
    fn a_payment_is_for_something_and_not_for_a_lifetime() {
        assert_eq!(check_days(&payment(0, 1)), Ok(()));
        assert_eq!(check_days(&payment(0, 0)), Err(Invalid::Days));
        assert_eq!(check_days(&payment(1, 3661)), Err(Invalid::Days));
    }

    fn payments(salt: &[u8]) -> Payments {
        Payments::new(hmac::Key::new(hmac::HMAC_SHA256, salt), 72)
    }

    #[test]
    fn a_payment_is_known_again_and_only_with_the_salt() {
        let proof = payments(b"salt").proof("payment-1", 0);
        assert!(proof == payments(b"salt").proof("payment-1", 0));
        assert_ne!(proof.hash, payments(b"salt").proof("payment-2", 0).hash);
        assert_ne!(proof.hash, payments(b"other").proof("payment-1", 0).hash);
    }

    #[test]
    fn of_a_payments_time_the_hour_is_kept() {
        let ends = payments(b"salt").proof("payment-1", 5).ends;
        assert_eq!(ends.0, 3 * DAY + HOUR);
    }

    #[test]
    fn what_was_paid_for_moves_and_nothing_else() {
        let sign_up = crate::core::sign_up::plain_sign_up("ann".to_owned(), String::new());
        let hash = crate::core::record::PasswordHash(String::new());
        let mut account = crate::core::sign_up::new_account(sign_up, hash, 0).unwrap();
        extend(&mut account, &payment(0, 30), 5 * HOUR + 7);
        assert!(account.ipv4 == Some(Moment(30 * DAY + 6 * HOUR)));
        assert!(account.subscription.is_none() && account.multihop.is_none());
        assert_eq!(account.updated_at.0, 5 * HOUR);
    }
}
