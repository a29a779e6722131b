//! What the account service has of an account, for its owner or for a court, and whether its owner
//! can rectify and erase it at once.

use anyhow::{Context as _, Result};
use mayfly_lab::network::CUSTOMER;
use serde_json::json;

use super::dump;
use super::enrolment::{Home, Ip};
use super::scene::{Party, Scene, USERS};
use super::store::Store;

const ACCOUNT: &str = "/v1/account";

/// The account record of the policy, in its order. It is written out here and not taken from the
/// program under judgement.
pub(super) const RECORD: [&str; 21] = [
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

/// What the store has beside it: nodes that may count or drain, and payments that may come again.
const BESIDE: [&str; 6] = [
    "node.name",
    "node.salt",
    "node.hash",
    "node.drains",
    "payment.hash",
    "payment.ends",
];

impl Scene<'_> {
    /// After devices have come and gone: checks what a court would get.
    ///
    /// # Errors
    /// The account service does not answer, or its files cannot be read.
    pub(super) fn call_to_court(&self, party: &Party<'_>) -> Result<()> {
        let store = Store::of(self.lab, self.operator);
        let home = party.stock[0].enrolment.home();
        let copy = home.at_accounts("GET", ACCOUNT, None)?.finish()?;
        let content = store.content()?;
        let is_all = fields(&copy)? == RECORD && store.columns()? == columns();
        let reading = dump::search(&content, &party.needles())?;
        let has_more = reading.hits.iter().any(dump::Hits::is_found);
        // If the files do not contain the account's name, they are not all of its files.
        let held = is_all && !has_more && holds(&content, home.user);
        self.findings.borrow_mut().claim("court", held);
        Ok(())
    }

    /// Reads, rectifies and erases the account, as its owner does.
    ///
    /// # Errors
    /// The account service does not answer, or its files cannot be read.
    pub(crate) fn rights(&self) -> Result<()> {
        let held = self.strand.step("rectify, copy and erase", || {
            let home = Home {
                user: USERS[1],
                ..self.home(&self.lab.customer, Ip::V4, CUSTOMER.into())
            };
            self.are_granted(home)
        })?;
        self.findings.borrow_mut().claim("rights", held);
        Ok(())
    }

    fn are_granted(&self, home: Home<'_>) -> Result<bool> {
        let store = Store::of(self.lab, self.operator);
        let word = "needle-of-an-erased-account@mail.example";
        let said = json!({ "email": word });
        home.at_accounts("PATCH", ACCOUNT, Some(said))?.finish()?;
        let copy = home.at_accounts("GET", ACCOUNT, None)?.finish()?;
        let was_there = copy.contains(word) && holds(&store.content()?, word);
        home.at_accounts("DELETE", ACCOUNT, None)?.finish()?;
        let (status, _) = home.at_accounts("GET", ACCOUNT, None)?.answer()?;
        Ok(was_there && status == 401 && !holds(&store.content()?, word))
    }
}

fn holds(content: &[u8], word: &str) -> bool {
    let mut places = content.windows(word.len());
    places.any(|place| place == word.as_bytes())
}

/// The names of a record's fields, as they come: no value of theirs has a colon after its end.
fn fields(copy: &str) -> Result<Vec<String>> {
    let names = copy.split("\":").filter_map(|part| part.rsplit('"').next());
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    // What comes after the last name.
    names.pop().context("the account's copy is empty")?;
    Ok(names)
}

/// The store's: an account has an id and its record but for `devices`, which is in RAM only.
pub(super) fn columns() -> Vec<String> {
    let stored = RECORD.iter().filter(|&&field| field != "devices");
    let account = ["id"].iter().chain(stored);
    let account = account.map(|field| format!("account.{field}"));
    account.chain(BESIDE.map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_in_their_order() {
        let copy = r#"{"username":"ann","devices":4,"campaign":null}"#;
        assert_eq!(fields(copy).unwrap(), ["username", "devices", "campaign"]);
    }
}
