//! The account record: everything that is known of an account, and so everything that a court can
//! get.

use std::fmt;

use serde::ser::{self, SerializeMap as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::core::clock;

/// An account's id inside the service: 16 random bytes, erased with the record. It leaves the
/// service only sealed in a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountId(pub [u8; 16]);

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccountId")
    }
}

/// A moment in seconds since 1970. It is serialized in RFC 3339.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        clock::rfc3339(self.0).serialize(serializer)
    }
}

/// Yes or no. It is serialized as 1 and 0, and parsed from these or from true and false.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Flag(pub bool);

impl Serialize for Flag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0.into())
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Word(bool),
            Number(u64),
        }
        match Written::deserialize(deserializer)? {
            Written::Word(yes) => Ok(Self(yes)),
            Written::Number(number @ 0..=1) => Ok(Self(number == 1)),
            Written::Number(_) => Err(de::Error::custom("a flag is 0 or 1")),
        }
    }
}

/// An account as the store holds it, with the fields of the record in their order.
#[derive(Clone, Serialize)]
pub struct Account {
    /// The key of the row. It is not a field of the record.
    #[serde(skip)]
    pub id: AccountId,
    /// The name with which the user logs in.
    pub username: String,
    /// The hash of the password.
    pub password: PasswordHash,
    /// E-mail address, if the user gave one.
    pub email: Option<String>,
    /// The hour of the sign-up.
    pub created_at: Moment,
    /// The hour of the last edit or payment. Connecting a device never changes it.
    pub updated_at: Moment,
    /// Wants the newsletter.
    pub newsletter: Flag,
    /// Has ever asked for a token.
    pub has_authenticated: Flag,
    /// Has ever been granted a device.
    pub has_connected: Flag,
    /// Wants an inner IPv6 address.
    pub has_ipv6: Flag,
    /// Stored for clients that show it; WireGuard does not compress.
    pub compression: Flag,
    /// Wants the streaming egress address.
    pub streaming: Flag,
    /// Language as stated, a tag of BCP 47.
    pub language: Option<String>,
    /// Currency as stated, a code of ISO 4217.
    pub currency: Option<String>,
    /// Country as stated, a code of ISO 3166-1.
    pub country: Option<String>,
    /// The campaign that led to the sign-up.
    pub campaign: Option<String>,
    /// End of the subscription. `None`: there has not been one.
    pub subscription: Option<Moment>,
    /// End of the add-on "public IPv4 address".
    pub ipv4: Option<Moment>,
    /// End of the add-on "multihop": traffic enters at one node and leaves at another.
    pub multihop: Option<Moment>,
    /// Version of the client that last asked for a token.
    pub client_version: Option<String>,
    /// Version of the browser extension.
    pub extension_version: Option<String>,
}

/// A password's hash, as a PHC string.
#[derive(Clone, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

/// The record as its owner, or a court, reads it: [`Record::FIELDS`], in that order.
pub(crate) struct Record {
    account: Account,
    /// 0 to 4. `None` where the live counter is out of reach, as at the command line.
    devices: Option<u8>,
}

impl Record {
    /// The names of the fields, in their order.
    pub(crate) const FIELDS: [&str; 21] = [
        "username",
        "password",
        "email",
        "created_at",
        "updated_at",
        "newsletter",
        "has_authenticated",
        "has_connected",
        "has_ipv6",
        "compression",
        "streaming",
        "language",
        "currency",
        "country",
        "devices",
        "campaign",
        "subscription",
        "ipv4",
        "multihop",
        "client_version",
        "extension_version",
    ];

    /// The record of `account`, with the number of its devices from the live counter.
    pub(crate) fn new(account: Account, devices: Option<u8>) -> Self {
        Self { account, devices }
    }
}

impl Serialize for Record {
    /// `devices` has its place among the fields of the account.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let account = serde_json::to_value(&self.account).map_err(ser::Error::custom)?;
        let mut record = serializer.serialize_map(Some(Self::FIELDS.len()))?;
        for field in Self::FIELDS {
            match field {
                "devices" => record.serialize_entry(field, &self.devices)?,
                _ => record.serialize_entry(field, &account[field])?,
            }
        }
        record.end()
    }
}

/// What is kept of a payment, so that a repetition is recognized.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    /// HMAC-SHA256 of the payment's number, keyed with the salt.
    pub hash: [u8; 32],
    /// When the proof is deleted. A whole hour.
    pub ends: Moment,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::core::sign_up::{new_account, plain_sign_up};

    #[test]
    fn the_names_of_the_fields_are_theirs() {
        let sign_up = plain_sign_up("ann".to_owned(), String::new());
        let account = new_account(sign_up, PasswordHash(String::new()), 0).unwrap();
        let stored = serde_json::to_value(&account).unwrap();
        let stored = stored.as_object().unwrap().keys().map(String::as_str);
        let named: BTreeSet<&str> = stored.chain(["devices"]).collect();
        assert_eq!(named, BTreeSet::from(Record::FIELDS));
        let text = serde_json::to_string(&Record::new(account, None)).unwrap();
        let mut rest = text.as_str();
        for field in Record::FIELDS {
            rest = rest.split_once(&format!("\"{field}\":")).unwrap().1;
        }
        let record: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(record.as_object().unwrap().len(), Record::FIELDS.len());
    }
}
