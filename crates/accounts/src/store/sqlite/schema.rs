//! The schema, its version, and the settings that keep SQLite from leaving traces.

use rusqlite::{Connection, TransactionBehavior};

use crate::core::error::StoreError;
use crate::store::Result;

/// The schema version that this program knows.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The migration at index n leads from version n to version n + 1. Version 0 is an empty file.
///
/// The tables have no row ids, which would tell the order of sign-ups within an hour.
pub(super) const MIGRATIONS: [&str; 3] = [
    "
CREATE TABLE account (
    id BLOB NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    username TEXT NOT NULL UNIQUE COLLATE NOCASE,
    password TEXT NOT NULL,
    email TEXT,
    created_at INTEGER NOT NULL CHECK (created_at % 3600 = 0),
    updated_at INTEGER NOT NULL,
    newsletter INTEGER NOT NULL CHECK (newsletter IN (0, 1)),
    has_authenticated INTEGER NOT NULL CHECK (has_authenticated IN (0, 1)),
    has_connected INTEGER NOT NULL CHECK (has_connected IN (0, 1)),
    has_ipv6 INTEGER NOT NULL CHECK (has_ipv6 IN (0, 1)),
    compression INTEGER NOT NULL CHECK (compression IN (0, 1)),
    streaming INTEGER NOT NULL CHECK (streaming IN (0, 1)),
    language TEXT,
    currency TEXT,
    country TEXT,
    campaign TEXT,
    subscription INTEGER,
    ipv4 INTEGER,
    multihop INTEGER,
    client_version TEXT,
    extension_version TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE node (
    name TEXT NOT NULL PRIMARY KEY,
    salt BLOB NOT NULL CHECK (length(salt) = 16),
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE payment (
    hash BLOB NOT NULL PRIMARY KEY CHECK (length(hash) = 32),
    ends INTEGER NOT NULL CHECK (ends % 3600 = 0)
) STRICT, WITHOUT ROWID;
UPDATE account SET updated_at = updated_at - updated_at % 3600;
",
    "
ALTER TABLE node ADD COLUMN drains INTEGER NOT NULL DEFAULT 0 CHECK (drains IN (0, 1));
",
];

/// The daily write of one account.
pub(super) const MARK: &str = "
UPDATE account SET
    has_authenticated = max(has_authenticated, :authenticated),
    has_connected = max(has_connected, :connected),
    client_version = coalesce(:client_version, client_version),
    extension_version = coalesce(:extension_version, extension_version)
WHERE id = :id";

/// Has SQLite empty its journal with each transaction and zero free space.
pub(super) fn leave_no_traces(connection: &Connection) -> Result<()> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    let journal: String =
        connection.pragma_update_and_check(None, "journal_mode", "TRUNCATE", |row| row.get(0))?;
    if journal != "truncate" {
        return Err(StoreError::Traces(
            "it does not accept journal_mode = TRUNCATE".to_owned(),
        ));
    }
    let zeroes: i64 =
        connection.pragma_update_and_check(None, "secure_delete", true, |row| row.get(0))?;
    if zeroes != 1 {
        return Err(StoreError::Traces(
            "it does not accept secure_delete = ON".to_owned(),
        ));
    }
    Ok(())
}

/// Migrates an older file to [`VERSION`].
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    if version(connection)? == VERSION {
        return Ok(());
    }
    // Read the version again under the lock: another process may have been faster.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let unknown = StoreError::UnknownVersion {
        found,
        known: VERSION,
    };
    let done = usize::try_from(found)
        .ok()
        .filter(|&done| done <= MIGRATIONS.len());
    let done = done.ok_or(unknown)?;
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

fn version(connection: &Connection) -> Result<i64> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}
