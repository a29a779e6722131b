//! An account as a row, and back.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, named_params, params};

use crate::core::record::{Account, AccountId, Flag, Moment, PasswordHash};

pub(super) fn insert(connection: &Connection, account: &Account) -> rusqlite::Result<()> {
    write(connection, account, |columns| {
        let (names, values) = (columns.join(", "), columns.join(", :"));
        format!("INSERT INTO account (id, {names}) VALUES (:id, :{values})")
    })
}

pub(super) fn update(connection: &Connection, account: &Account) -> rusqlite::Result<()> {
    write(connection, account, |columns| {
        let changes: Vec<_> = columns
            .iter()
            .map(|name| format!("{name} = :{name}"))
            .collect();
        format!("UPDATE account SET {} WHERE id = :id", changes.join(", "))
    })
}

/// Executes the statement that `statement` makes of all columns but `id`. Each column has a
/// parameter of its name.
fn write(
    connection: &Connection,
    account: &Account,
    statement: impl FnOnce(&[&str]) -> String,
) -> rusqlite::Result<()> {
    let values: &[(&str, &dyn ToSql)] = named_params! {
        ":id": account.id.0,
        ":username": account.username,
        ":password": account.password.0,
        ":email": account.email,
        ":created_at": seconds(account.created_at),
        ":updated_at": seconds(account.updated_at),
        ":newsletter": account.newsletter.0,
        ":has_authenticated": account.has_authenticated.0,
        ":has_connected": account.has_connected.0,
        ":has_ipv6": account.has_ipv6.0,
        ":compression": account.compression.0,
        ":streaming": account.streaming.0,
        ":language": account.language,
        ":currency": account.currency,
        ":country": account.country,
        ":campaign": account.campaign,
        ":subscription": account.subscription.map(seconds),
        ":ipv4": account.ipv4.map(seconds),
        ":multihop": account.multihop.map(seconds),
        ":client_version": account.client_version,
        ":extension_version": account.extension_version,
    };
    let names = values.iter().filter_map(|(name, _)| name.strip_prefix(':'));
    let columns: Vec<&str> = names.filter(|&name| name != "id").collect();
    connection
        .prepare_cached(&statement(&columns))?
        .execute(values)?;
    Ok(())
}

pub(super) fn by_name(
    connection: &Connection,
    username: &str,
) -> rusqlite::Result<Option<Account>> {
    let mut query = connection.prepare_cached("SELECT * FROM account WHERE username = ?1")?;
    query.query_row([username], read).optional()
}

pub(super) fn by_id(connection: &Connection, id: AccountId) -> rusqlite::Result<Option<Account>> {
    let mut query = connection.prepare_cached("SELECT * FROM account WHERE id = ?1")?;
    query.query_row([id.0], read).optional()
}

/// In the order of names, by the collation of their column.
pub(super) fn page(
    connection: &Connection,
    last: &str,
    max: u32,
) -> rusqlite::Result<Vec<Account>> {
    let mut query = connection
        .prepare_cached("SELECT * FROM account WHERE username > ?1 ORDER BY username LIMIT ?2")?;
    query.query_map(params![last, max], read)?.collect()
}

fn read(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: AccountId(row.get("id")?),
        username: row.get("username")?,
        password: PasswordHash(row.get("password")?),
        email: row.get("email")?,
        created_at: moment(row.get("created_at")?),
        updated_at: moment(row.get("updated_at")?),
        newsletter: Flag(row.get("newsletter")?),
        has_authenticated: Flag(row.get("has_authenticated")?),
        has_connected: Flag(row.get("has_connected")?),
        has_ipv6: Flag(row.get("has_ipv6")?),
        compression: Flag(row.get("compression")?),
        streaming: Flag(row.get("streaming")?),
        language: row.get("language")?,
        currency: row.get("currency")?,
        country: row.get("country")?,
        campaign: row.get("campaign")?,
        subscription: row.get::<_, Option<i64>>("subscription")?.map(moment),
        ipv4: row.get::<_, Option<i64>>("ipv4")?.map(moment),
        multihop: row.get::<_, Option<i64>>("multihop")?.map(moment),
        client_version: row.get("client_version")?,
        extension_version: row.get("extension_version")?,
    })
}

/// SQLite's integers are signed, and no time in the store is before 1970.
fn moment(seconds: i64) -> Moment {
    Moment(u64::try_from(seconds).unwrap_or(0))
}

pub(super) fn seconds(moment: Moment) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}
