//! An account as a row, and back.

use deadpool_postgres::GenericClient;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::core::error::StoreError;
use crate::core::record::{Account, AccountId, Flag, Moment, PasswordHash};
use crate::store::Result;

/// `false`: the name is taken. That is not an error for the server, because the server may log
/// errors.
pub(super) async fn insert(client: &impl GenericClient, account: &Account) -> Result<bool> {
    let inserted = write(client, account, |columns| {
        let places: Vec<_> = (1..=columns.len())
            .map(|place| format!("${place}"))
            .collect();
        let (names, places) = (columns.join(", "), places.join(", "));
        format!("INSERT INTO account ({names}) VALUES ({places}) ON CONFLICT DO NOTHING")
    });
    Ok(inserted.await? == 1)
}

pub(super) async fn update(client: &impl GenericClient, account: &Account) -> Result<()> {
    let updated = write(client, account, |columns| {
        let places = columns.iter().zip(1..).skip(1);
        let changes: Vec<_> = places
            .map(|(name, place)| format!("{name} = ${place}"))
            .collect();
        format!("UPDATE account SET {} WHERE id = $1", changes.join(", "))
    });
    updated.await?;
    Ok(())
}

/// Executes the statement that `statement` makes of all columns. Parameters are numbered from 1
/// in the order of the columns, of which the first is `id`.
async fn write(
    client: &impl GenericClient,
    account: &Account,
    statement: impl FnOnce(&[&str]) -> String,
) -> Result<u64> {
    let columns: [(&str, &(dyn ToSql + Sync)); 21] = [
        ("id", &&account.id.0[..]),
        ("username", &account.username),
        ("password", &account.password.0),
        ("email", &account.email),
        ("created_at", &seconds(account.created_at)),
        ("updated_at", &seconds(account.updated_at)),
        ("newsletter", &account.newsletter.0),
        ("has_authenticated", &account.has_authenticated.0),
        ("has_connected", &account.has_connected.0),
        ("has_ipv6", &account.has_ipv6.0),
        ("compression", &account.compression.0),
        ("streaming", &account.streaming.0),
        ("language", &account.language),
        ("currency", &account.currency),
        ("country", &account.country),
        ("campaign", &account.campaign),
        ("subscription", &account.subscription.map(seconds)),
        ("ipv4", &account.ipv4.map(seconds)),
        ("multihop", &account.multihop.map(seconds)),
        ("client_version", &account.client_version),
        ("extension_version", &account.extension_version),
    ];
    let statement = statement(&columns.map(|(name, _)| name));
    let statement = client.prepare_cached(&statement).await?;
    let values = columns.map(|(_, value)| value);
    Ok(client.execute(&statement, &values).await?)
}

pub(super) async fn by_name(
    client: &impl GenericClient,
    username: &str,
) -> Result<Option<Account>> {
    let statement = client
        .prepare_cached("SELECT * FROM account WHERE lower(username) = lower($1)")
        .await?;
    let row = client.query_opt(&statement, &[&username]).await?;
    row.as_ref().map(read).transpose()
}

/// Reads an account and locks it against other writers until the end of the transaction.
pub(super) async fn lock(client: &impl GenericClient, id: AccountId) -> Result<Option<Account>> {
    let statement = client
        .prepare_cached("SELECT * FROM account WHERE id = $1 FOR UPDATE")
        .await?;
    let row = client.query_opt(&statement, &[&&id.0[..]]).await?;
    row.as_ref().map(read).transpose()
}

/// As [`lock`], by the user's name.
pub(super) async fn lock_by_name(
    client: &impl GenericClient,
    username: &str,
) -> Result<Option<Account>> {
    let statement = client
        .prepare_cached("SELECT * FROM account WHERE lower(username) = lower($1) FOR UPDATE")
        .await?;
    let row = client.query_opt(&statement, &[&username]).await?;
    row.as_ref().map(read).transpose()
}

pub(super) async fn page(
    client: &impl GenericClient,
    last: &str,
    max: u32,
) -> Result<Vec<Account>> {
    let statement = client
        .prepare_cached(
            "SELECT * FROM account WHERE lower(username) > lower($1)
             ORDER BY lower(username) LIMIT $2",
        )
        .await?;
    let rows = client.query(&statement, &[&last, &i64::from(max)]).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Account> {
    let flag = |column| row.try_get(column).map(Flag);
    let time = |column| row.try_get(column).map(|end: Option<i64>| end.map(moment));
    Ok(Account {
        id: id(row)?,
        username: row.try_get("username")?,
        password: PasswordHash(row.try_get("password")?),
        email: row.try_get("email")?,
        created_at: moment(row.try_get("created_at")?),
        updated_at: moment(row.try_get("updated_at")?),
        newsletter: flag("newsletter")?,
        has_authenticated: flag("has_authenticated")?,
        has_connected: flag("has_connected")?,
        has_ipv6: flag("has_ipv6")?,
        compression: flag("compression")?,
        streaming: flag("streaming")?,
        language: row.try_get("language")?,
        currency: row.try_get("currency")?,
        country: row.try_get("country")?,
        campaign: row.try_get("campaign")?,
        subscription: time("subscription")?,
        ipv4: time("ipv4")?,
        multihop: time("multihop")?,
        client_version: row.try_get("client_version")?,
        extension_version: row.try_get("extension_version")?,
    })
}

/// The account of a row.
pub(super) fn id(row: &Row) -> Result<AccountId> {
    Ok(AccountId(bytes(row, "id")?))
}

/// A column of `N` bytes. A rule of the schema ensures the length.
pub(super) fn bytes<const N: usize>(row: &Row, column: &str) -> Result<[u8; N]> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| StoreError::Postgres(format!("{column} has another length")))
}

/// PostgreSQL's integers are signed, and no time in the store is before 1970.
fn moment(seconds: i64) -> Moment {
    Moment(u64::try_from(seconds).unwrap_or(0))
}

pub(super) fn seconds(moment: Moment) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}
