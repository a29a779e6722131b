//! What a user does with the account: sign up, copy, rectify, change the password, erase.

use std::path::Path;

use hyper::Method;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::{AccountArgs, Change};
use crate::error::Error;
use crate::file;
use crate::https::{self, Authorization};
use crate::login::Login;

/// Signs up.
pub(crate) async fn create(account: &AccountArgs) -> Result<String, Error> {
    let login = Login::of(account)?;
    let sign_up = json!({"username": login.user, "password": login.password.as_str()});
    let target = (Method::POST, "/v1/accounts");
    let none = Authorization::None;
    https::tell(&account.accounts, &login.ca, target, none, &sign_up).await?;
    Ok(format!(
        "{}: account made; it has no subscription yet",
        login.user
    ))
}

/// Fetches the record.
pub(crate) async fn copy(account: &AccountArgs) -> Result<String, Error> {
    let answer = ask(account, Method::GET, None::<&()>).await?;
    Ok(printable(&answer))
}

/// Changes fields, and returns the changed record.
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
    Ok(format!("{}: password changed", account.user))
}

/// Erases the account.
pub(crate) async fn erase(account: &AccountArgs) -> Result<String, Error> {
    ask(account, Method::DELETE, None::<&()>).await?;
    Ok(format!("{}: account erased", account.user))
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

/// The record as the service wrote it, in its order, without characters that control a terminal.
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
    fn a_record_does_not_steer_the_terminal() {
        assert_eq!(
            printable("{\"a\":\"\u{1b}[31m\u{9b}\"}".as_bytes()),
            "{\"a\":\" [31m \"}"
        );
    }
}
