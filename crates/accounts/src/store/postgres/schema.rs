//! The schema and its version.

use deadpool_postgres::Object;

use crate::core::error::StoreError;
use crate::store::Result;

/// The schema version that this program knows.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// The migration at index n leads from version n to version n + 1. Version 0 has no table.
///
/// Without `STATISTICS 0`, the planner would keep samples of the columns, names among them.
pub(super) const MIGRATIONS: [&str; 3] = [
    r#"
CREATE TABLE account (
    id BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(id) = 16),
    username TEXT COLLATE "C" NOT NULL,
    password TEXT NOT NULL,
    email TEXT,
    created_at BIGINT NOT NULL CHECK (created_at % 3600 = 0),
    updated_at BIGINT NOT NULL,
    newsletter BOOLEAN NOT NULL,
    has_authenticated BOOLEAN NOT NULL,
    has_connected BOOLEAN NOT NULL,
    has_ipv6 BOOLEAN NOT NULL,
    compression BOOLEAN NOT NULL,
    streaming BOOLEAN NOT NULL,
    language TEXT,
    currency TEXT,
    country TEXT,
    campaign TEXT,
    subscription BIGINT,
    ipv4 BIGINT,
    multihop BIGINT,
    client_version TEXT,
    extension_version TEXT
);
CREATE UNIQUE INDEX account_name ON account (lower(username));
CREATE TABLE node (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    salt BYTEA NOT NULL CHECK (octet_length(salt) = 16),
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32)
);
ALTER INDEX account_name ALTER COLUMN 1 SET STATISTICS 0;
DO $$
DECLARE field TEXT;
BEGIN
    FOR field IN SELECT attname FROM pg_attribute WHERE attrelid = 'account'::regclass AND attnum > 0
    LOOP
        EXECUTE format('ALTER TABLE account ALTER COLUMN %I SET STATISTICS 0', field);
    END LOOP;
END $$;
"#,
    "
CREATE TABLE payment (
    hash BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(hash) = 32),
    ends BIGINT NOT NULL CHECK (ends % 3600 = 0)
);
UPDATE account SET updated_at = updated_at - updated_at % 3600;
",
    "
ALTER TABLE node ADD COLUMN drains BOOLEAN NOT NULL DEFAULT FALSE;
",
];

/// Our number for the lock that admits one process at a time to change the schema.
const LOCK: i64 = 0x6d61_7966_6c79_0001;

/// The daily write. It does not touch a row that it does not change: a new version of a row would
/// tell that the account was used that day.
pub(super) const MARK: &str = "
UPDATE account SET
    has_authenticated = account.has_authenticated OR mark.authenticated,
    has_connected = account.has_connected OR mark.connected,
    client_version = coalesce(mark.client_version, account.client_version),
    extension_version = coalesce(mark.extension_version, account.extension_version)
FROM unnest($1::bytea[], $2::bool[], $3::bool[], $4::text[], $5::text[])
    AS mark (id, authenticated, connected, client_version, extension_version)
WHERE account.id = mark.id AND (
    mark.authenticated > account.has_authenticated
    OR mark.connected > account.has_connected
    OR coalesce(mark.client_version, account.client_version)
        IS DISTINCT FROM account.client_version
    OR coalesce(mark.extension_version, account.extension_version)
        IS DISTINCT FROM account.extension_version)";

/// Migrates older tables to [`VERSION`].
pub(super) async fn migrate(client: &mut Object) -> Result<()> {
    let transaction = client.transaction().await?;
    // Held until the end of the transaction: another process may be migrating.
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK])
        .await?;
    transaction
        .batch_execute("CREATE TABLE IF NOT EXISTS schema (version BIGINT NOT NULL)")
        .await?;
    let row = transaction
        .query_opt("SELECT version FROM schema", &[])
        .await?;
    let found: i64 = row.map_or(Ok(0), |row| row.try_get(0))?;
    let unknown = StoreError::UnknownVersion {
        found,
        known: VERSION,
    };
    let done = usize::try_from(found)
        .ok()
        .filter(|&done| done <= MIGRATIONS.len());
    let done = done.ok_or(unknown)?;
    if done == MIGRATIONS.len() {
        // Rolled back with the transaction: nothing is written.
        return Ok(());
    }
    for migration in MIGRATIONS.iter().skip(done) {
        transaction.batch_execute(migration).await?;
    }
    transaction.batch_execute("DELETE FROM schema").await?;
    transaction
        .execute("INSERT INTO schema VALUES ($1)", &[&VERSION])
        .await?;
    Ok(transaction.commit().await?)
}
