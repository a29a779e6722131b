//! What a user does with the account itself: sign up, copy, rectify, change the password, erase.

use std::path::Path;
use std::str::FromStr;

use hyper::Method;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::cli::AccountArgs;
use crate::error::Error;
use crate::file;
use crate::https::{self, Authorization, Ca};

/// The fields that are 0 or 1; all others are texts.
const CHOICES: [&str; 4] = ["newsletter", "has_ipv6", "compression", "streaming"];

/// `FIELD=VALUE`. The account service knows the fields and their rules.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    field: String,
    value: Value,
}

impl FromStr for Change {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (field, value) = text
            .split_once('=')
            .ok_or("expected FIELD=VALUE, like country=DE")?;
        let value = match value {
            "0" | "1" if CHOICES.contains(&field) => Value::from(u8::from(value == "1")),
            _ if CHOICES.contains(&field) => return Err("this field is 0 or 1"),
            "" => Value::Null,
            text => Value::from(text),
        };
        if field == "password" {
            return Err("others can read the command line: use `mayfly account password`");
        }
        let field = field.to_owned();
        Ok(Self { field, value })
    }
}

/// Who asks, and who vouches for the account service.
pub(crate) struct Login<'a> {
    pub(crate) ca: Ca,
    user: &'a str,
    password: Zeroizing<String>,
}

impl<'a> Login<'a> {
    /// Reads what the command line points to.
    pub(crate) fn of(account: &'a AccountArgs) -> Result<Self, Error> {
        let pem = file::read(&account.accounts_ca)?;
        let ca = Ca::from_pem(&pem).ok_or_else(|| Error::Content {
            path: account.accounts_ca.clone(),
            expected: "certificates in PEM",
        })?;
        let password = file::read_password(account.password.password_file.as_deref())?;
        Ok(Self {
            ca,
            user: &account.user,
            password,
        })
    }

    pub(crate) fn authorization(&self) -> Authorization<'_> {
        Authorization::Basic(self.user, &self.password)
    }
}

/// Signs up.
pub(crate) async fn create(account: &AccountArgs) -> Result<String, Error> {
    let login = Login::of(account)?;
    let sign_up = json!({"username": login.user, "password": login.password.as_str()});
    let target = (Method::POST, "/v1/accounts");
    let nobody = Authorization::None;
    https::tell(&account.accounts, &login.ca, target, nobody, &sign_up).await?;
    Ok(format!("{}: made; it has no subscription yet", login.user))
}

/// The record.
pub(crate) async fn copy(account: &AccountArgs) -> Result<String, Error> {
    let answer = ask(account, Method::GET, None::<&()>).await?;
    Ok(printable(&answer))
}

/// Changes fields; the record as it is then.
pub(crate) async fn rectify(account: &AccountArgs, changes: &[Change]) -> Result<String, Error> {
    let changes = changes.iter().cloned();
    let body: Map<String, Value> = changes.map(|change| (change.field, change.value)).collect();
    let answer = ask(account, Method::PATCH, Some(&body)).await?;
    Ok(printable(&answer))
}

/// Changes the password.
pub(crate) async fn password(account: &AccountArgs, new: &Path) -> Result<String, Error> {
    let new = file::read_password(Some(new))?;
    let body = json!({"password": new.as_str()});
    ask(account, Method::PATCH, Some(&body)).await?;
    Ok(format!("{}: has the new password", account.user))
}

/// Erases the account.
pub(crate) async fn erase(account: &AccountArgs) -> Result<String, Error> {
    ask(account, Method::DELETE, None::<&()>).await?;
    Ok(format!("{}: erased", account.user))
}

async fn ask(
    account: &AccountArgs,
    method: Method,
    body: Option<&impl Serialize>,
) -> Result<Bytes, Error> {
    let login = Login::of(account)?;
    let target = (method, "/v1/account");
    let basic = login.authorization();
    https::send(&account.accounts, &login.ca, target, basic, body).await
}

/// As the service wrote it, in its order, but for what would steer a terminal.
fn printable(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_field_and_a_value() {
        let value = |text: &str| text.parse::<Change>().map(|change| change.value);
        assert_eq!(value("country=DE"), Ok(json!("DE")));
        assert_eq!(value("email="), Ok(Value::Null));
        assert_eq!(value("streaming=1"), Ok(json!(1)));
        assert_eq!(value("username=1"), Ok(json!("1")));
        for wrong in ["country", "streaming=yes", "newsletter=", "password=x"] {
            assert!(value(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_does_not_steer_the_terminal() {
        assert_eq!(
            printable("{\"a\":\"\u{1b}[31m\u{9b}\"}".as_bytes()),
            "{\"a\":\" [31m \"}"
        );
    }
}
