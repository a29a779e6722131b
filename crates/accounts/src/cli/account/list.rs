//! `mayfly-accounts account list`.

use serde_json::Value;

use crate::cli::print;
use crate::core::error::StartError;
use crate::core::record::{Account, Record};
use crate::store::Store;

/// The most accounts in one query to the store.
const PAGE: u32 = 500;

pub(super) async fn run(fields: &[String], store: &Store) -> Result<(), StartError> {
    if !fields
        .iter()
        .all(|field| Record::FIELDS.contains(&field.as_str()))
    {
        return Err(StartError::Usage(
            "a field is one of those that `account show` prints",
        ));
    }
    if fields.iter().any(|field| field == "devices") {
        return Err(StartError::Usage(
            "devices are counted in the running service and not kept; GET /v1/account shows them to the owner",
        ));
    }
    let mut last = None;
    loop {
        let page = store.page(last, PAGE).await?;
        let Some(end) = page.last() else {
            return Ok(());
        };
        last = Some(end.username.clone());
        for account in page {
            print(&line(fields, account)?)?;
        }
    }
}

fn line(fields: &[String], account: Account) -> Result<String, StartError> {
    let record = serde_json::to_value(Record::new(account, None))
        .map_err(|error| StartError::Stdio(error.into()))?;
    let cells: Vec<String> = fields.iter().map(|field| cell(&record[field])).collect();
    Ok(cells.join("\t"))
}

/// No field contains a tab: each field has its rule.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
