//! The durable store: SQLite, one file, nothing in it that changes on a connect.
//!
//! No write-ahead log and `secure_delete`: a log would keep a row's history, and free
//! pages would keep erased rows. The command line may write beside a running service;
//! SQLite's lock on the file lets one at a time.

mod row;
mod schema;

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, named_params, params,
};

use crate::record::{Account, AccountId, Moment};

/// How long a write waits for another process's.
const PATIENCE: Duration = Duration::from_secs(5);

/// The accounts and the register of nodes.
pub struct Store {
    connection: Mutex<Connection>,
}

/// Why the store did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Written by a program that knows another schema.
    #[error("the database has schema version {0}, and this program knows version {known}", known = schema::VERSION)]
    UnknownVersion(i64),
    /// SQLite would keep a history of rows.
    #[error("the database does not take {0}")]
    Traces(&'static str),
    /// Another account has the user name.
    #[error("the user name is taken")]
    NameTaken,
    /// There is no such account.
    #[error("there is no such account")]
    NoSuchAccount,
    /// The file cannot be made or opened.
    #[error("the database file: {0}")]
    File(#[from] std::io::Error),
    /// Anything else. Its text may name a column, never a value.
    #[error("the database: {0}")]
    Database(rusqlite::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// What the service has learnt of an account since the last daily write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// It asked for a token.
    pub authenticated: bool,
    /// It was granted a device.
    pub connected: bool,
    /// Version of the client that asked last.
    pub client_version: Option<String>,
}

/// A node in the register, as it shows itself on admission.
pub struct NodeSecret {
    /// Salt of the hash.
    pub salt: [u8; 16],
    /// SHA-256 over salt and secret.
    pub hash: [u8; 32],
}

impl Store {
    /// Opens the file, or makes it with mode 0600.
    ///
    /// # Errors
    /// A file that is no database, is of another schema version, or would keep traces.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite gives its journal the same mode.
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(PATIENCE)?;
        schema::leave_no_traces(&connection)?;
        schema::settle(&mut connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    /// Every statement stands in a transaction, so a panic elsewhere leaves the connection whole.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub fn create(&self, account: &Account) -> Result<(), StoreError> {
        match row::insert(&self.connection(), account) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                Err(StoreError::NameTaken)
            }
            done => Ok(done?),
        }
    }

    /// The account of that user name.
    ///
    /// # Errors
    /// The database's.
    pub fn by_name(&self, username: &str) -> Result<Option<Account>, StoreError> {
        Ok(row::by_name(&self.connection(), username)?)
    }

    /// Whether the account has not been erased.
    ///
    /// # Errors
    /// The database's.
    pub fn exists(&self, id: AccountId) -> Result<bool, StoreError> {
        let connection = self.connection();
        let mut query = connection.prepare_cached("SELECT 1 FROM account WHERE id = ?1")?;
        Ok(query.exists([id.0])?)
    }

    /// Moves the end of a subscription: `end` gets what it was, and says what it will be.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAccount`].
    pub fn extend(
        &self,
        username: &str,
        now: Moment,
        end: impl FnOnce(Option<Moment>) -> Moment,
    ) -> Result<Moment, StoreError> {
        let mut connection = self.connection();
        // At once for writing: between reading and writing nobody else may extend.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let account = row::by_name(&transaction, username)?.ok_or(StoreError::NoSuchAccount)?;
        let end = end(account.subscription);
        transaction.execute(
            "UPDATE account SET subscription = ?2, updated_at = ?3 WHERE id = ?1",
            params![account.id.0, row::seconds(end), row::seconds(now)],
        )?;
        transaction.commit()?;
        Ok(end)
    }

    /// The daily write: all marks in one transaction. `updated_at` stays.
    ///
    /// # Errors
    /// The database's; then nothing was written.
    pub fn mark(&self, marks: &HashMap<AccountId, Mark>) -> Result<(), StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (id, mark) in marks {
            transaction
                .prepare_cached(schema::MARK)?
                .execute(named_params! {
                    ":id": id.0,
                    ":authenticated": mark.authenticated,
                    ":connected": mark.connected,
                    ":client_version": mark.client_version,
                })?;
        }
        Ok(transaction.commit()?)
    }

    /// Puts a node into the register, or gives it a new secret.
    ///
    /// # Errors
    /// The database's.
    pub fn register_node(&self, name: &str, secret: &NodeSecret) -> Result<(), StoreError> {
        self.connection().execute(
            "INSERT INTO node (name, salt, hash) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET salt = excluded.salt, hash = excluded.hash",
            params![name, secret.salt, secret.hash],
        )?;
        Ok(())
    }

    /// What a node of that name must show.
    ///
    /// # Errors
    /// The database's.
    pub fn node(&self, name: &str) -> Result<Option<NodeSecret>, StoreError> {
        let connection = self.connection();
        let mut query = connection.prepare_cached("SELECT salt, hash FROM node WHERE name = ?1")?;
        let found = query.query_row([name], |row| {
            Ok(NodeSecret {
                salt: row.get(0)?,
                hash: row.get(1)?,
            })
        });
        Ok(found.optional()?)
    }
}

#[cfg(test)]
mod tests;
