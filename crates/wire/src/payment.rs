//! Payments: the operator's shop reports a payment to the account service.
//! `POST /v1/payments`.

use serde::{Deserialize, Deserializer, Serialize, de};

/// Body of `POST /v1/payments`. The shop's key comes as the bearer token. At least one of the
/// numbers of days is more than 0.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The payment provider's number of this payment. It is the same if the shop reports the
    /// payment again.
    pub payment: String,
    /// User name of the account that the payment is for.
    pub username: String,
    /// Days to add to the subscription.
    #[serde(default, deserialize_with = "days")]
    pub subscription_days: u32,
    /// Days to add to the add-on for a public IPv4 address.
    #[serde(default, deserialize_with = "days")]
    pub ipv4_days: u32,
    /// Days to add to the multihop add-on: entering at one node and leaving at another.
    #[serde(default, deserialize_with = "days")]
    pub multihop_days: u32,
}

/// Reads a whole number in any notation. JSON has one type of number (RFC 8259 section 6),
/// and some languages write 30 as 30.0.
fn days<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let written = f64::deserialize(deserializer)?;
    let is_whole = written.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&written);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and in range"
    )]
    is_whole
        .then_some(written as u32)
        .ok_or_else(|| de::Error::custom("days are a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_however_they_are_written() {
        let days = |text: &str| {
            let body = format!(r#"{{"payment":"1","username":"ann","ipv4_days":{text}}}"#);
            serde_json::from_str::<Payment>(&body)
                .ok()
                .map(|payment| payment.ipv4_days)
        };
        assert_eq!(["30", "30.0", "3e1"].map(days), [Some(30); 3]);
        assert_eq!(
            ["30.5", "-1", "4294967296", "null", "\"30\""].map(days),
            [None; 5]
        );
    }
}
