//! The store in SQLite: one file.
//!
//! There is no write-ahead log, which would keep a row's history. `secure_delete` is on, because
//! free pages would keep erased rows. The command line may write beside a running service:
//! SQLite's lock on the file admits one writer at a time.

mod row;
mod schema;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{
    Connection, OptionalExtension as _, TransactionBehavior, ffi, named_params, params,
};
use tokio::task::spawn_blocking;

use super::{Mark, Node, NodeSecret, Result};
use crate::core::error::StoreError;
use crate::core::record::{Account, AccountId, Moment, Proof};

/// How long a write waits for the write of another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// The only connection. It is used on threads that may block.
pub struct Sqlite {
    connection: Arc<Mutex<Connection>>,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        match code {
            // The schema has one unique column: the user name.
            Some(ffi::SQLITE_CONSTRAINT_UNIQUE) => Self::NameTaken,
            _ => Self::Sqlite(error),
        }
    }
}

impl Sqlite {
    /// Opens the file, or makes it with mode 0600.
    pub(super) async fn open(path: PathBuf) -> Result<Self> {
        let opened = spawn_blocking(move || connect(&path)).await;
        let connection = opened.map_err(|_| StoreError::Task)??;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
        })
    }

    /// Every statement runs in a transaction, so a panic elsewhere leaves the connection intact.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let connection = self.connection.clone();
        let asked = spawn_blocking(move || {
            ask(&mut connection.lock().unwrap_or_else(PoisonError::into_inner))
        });
        asked.await.map_err(|_| StoreError::Task)?
    }

    pub(super) async fn create(&self, account: Account) -> Result<()> {
        self.ask(move |connection| Ok(row::insert(connection, &account)?))
            .await
    }

    pub(super) async fn by_name(&self, username: String) -> Result<Option<Account>> {
        self.ask(move |connection| Ok(row::by_name(connection, &username)?))
            .await
    }

    pub(super) async fn edit<T: Send + 'static>(
        &self,
        id: AccountId,
        change: impl FnOnce(&mut Account) -> T + Send + 'static,
    ) -> Result<T> {
        self.ask(move |connection| {
            // Locked for writing from the start: no other edit may come between read and write.
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let account = row::by_id(&transaction, id)?;
            let mut account = account.ok_or(StoreError::NoSuchAccount)?;
            let changed = change(&mut account);
            row::update(&transaction, &account)?;
            transaction.commit()?;
            Ok(changed)
        })
        .await
    }

    /// `secure_delete` zeroes freed space, but a row that was once moved within a page may remain
    /// in the page's gaps. So the whole file is rewritten.
    pub(super) async fn erase(&self, id: AccountId) -> Result<()> {
        self.ask(move |connection| {
            let erased = connection.execute("DELETE FROM account WHERE id = ?1", [id.0])?;
            if erased == 0 {
                return Err(StoreError::NoSuchAccount);
            }
            Ok(connection.execute_batch("VACUUM")?)
        })
        .await
    }

    pub(super) async fn pay(
        &self,
        proof: Proof,
        username: String,
        give: impl FnOnce(&mut Account) + Send + 'static,
    ) -> Result<bool> {
        self.ask(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let account = row::by_name(&transaction, &username)?;
            let mut account = account.ok_or(StoreError::NoSuchAccount)?;
            let is_new = transaction.execute(
                "INSERT INTO payment (hash, ends) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![proof.hash, row::seconds(proof.ends)],
            )?;
            if is_new == 0 {
                return Ok(false);
            }
            give(&mut account);
            row::update(&transaction, &account)?;
            transaction.commit()?;
            Ok(true)
        })
        .await
    }

    pub(super) async fn forget_payments(&self, now: Moment) -> Result<()> {
        self.ask(move |connection| {
            connection.execute("DELETE FROM payment WHERE ends <= ?1", [row::seconds(now)])?;
            Ok(())
        })
        .await
    }

    pub(super) async fn page(&self, last: String, max: u32) -> Result<Vec<Account>> {
        self.ask(move |connection| Ok(row::page(connection, &last, max)?))
            .await
    }

    pub(super) async fn known(&self, ids: Vec<AccountId>) -> Result<HashMap<AccountId, bool>> {
        self.ask(move |connection| {
            // One transaction, so that SQLite locks the file only once.
            let transaction = connection.transaction()?;
            let mut query =
                transaction.prepare_cached("SELECT has_connected FROM account WHERE id = ?1")?;
            let mut known = HashMap::with_capacity(ids.len());
            for id in ids {
                let connected = query.query_row([id.0], |row| row.get(0)).optional()?;
                known.extend(connected.map(|connected| (id, connected)));
            }
            Ok(known)
        })
        .await
    }

    pub(super) async fn mark(&self, marks: HashMap<AccountId, Mark>) -> Result<()> {
        self.ask(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (id, mark) in marks {
                transaction
                    .prepare_cached(schema::MARK)?
                    .execute(named_params! {
                        ":id": id.0,
                        ":authenticated": mark.authenticated,
                        ":connected": mark.connected,
                        ":client_version": mark.client_version,
                        ":extension_version": mark.extension_version,
                    })?;
            }
            Ok(transaction.commit()?)
        })
        .await
    }

    pub(super) async fn register_node(&self, name: String, secret: NodeSecret) -> Result<()> {
        self.ask(move |connection| {
            connection.execute(
                "INSERT INTO node (name, salt, hash) VALUES (?1, ?2, ?3)
                 ON CONFLICT (name) DO UPDATE SET salt = excluded.salt, hash = excluded.hash",
                params![name, secret.salt, secret.hash],
            )?;
            Ok(())
        })
        .await
    }

    pub(super) async fn revoke_node(&self, name: String) -> Result<bool> {
        self.ask(move |connection| {
            let revoked = connection.execute("DELETE FROM node WHERE name = ?1", [name])?;
            Ok(revoked == 1)
        })
        .await
    }

    pub(super) async fn drain_node(&self, name: String, on: bool) -> Result<bool> {
        self.ask(move |connection| {
            let found = connection.execute(
                "UPDATE node SET drains = ?2 WHERE name = ?1",
                params![name, on],
            )?;
            Ok(found == 1)
        })
        .await
    }

    pub(super) async fn node(&self, name: String) -> Result<Option<Node>> {
        self.ask(move |connection| {
            let mut query =
                connection.prepare_cached("SELECT salt, hash, drains FROM node WHERE name = ?1")?;
            let found = query.query_row([name], |row| {
                Ok(Node {
                    secret: NodeSecret {
                        salt: row.get(0)?,
                        hash: row.get(1)?,
                    },
                    drains: row.get(2)?,
                })
            });
            Ok(found.optional()?)
        })
        .await
    }
}

fn connect(path: &Path) -> Result<Connection> {
    // SQLite gives the journal the mode of the database file.
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    schema::leave_no_traces(&connection)?;
    schema::migrate(&mut connection)?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
