//! The durable store: the record of each account, hashes of payments that may come again, and the
//! register of nodes. Nothing in the store changes when a device connects.
//!
//! A back end does the work: [`sqlite`], one file and nothing to install, or [`postgres`], for a
//! service of several processes. Both keep the same record under the same rules, and leave no old
//! row behind.

pub(crate) mod marks;
mod postgres;
mod sqlite;

use std::collections::HashMap;

use crate::config::Config;
use crate::core::error::StoreError;
use crate::core::record::{Account, AccountId, Moment, Proof};
pub(crate) use postgres::LeaderLease;
use postgres::Postgres;
use sqlite::Sqlite;

/// The result of the store's methods. Each fails if the database does; the other reasons stand at
/// the method.
pub(crate) type Result<T> = std::result::Result<T, StoreError>;

/// The accounts and the register of nodes.
pub enum Store {
    /// One file in the data directory.
    Sqlite(Sqlite),
    /// A database on a server.
    Postgres(Box<Postgres>),
}

/// The facts about an account that the service has learnt since the last daily write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// It asked for a token.
    pub authenticated: bool,
    /// It was granted a device.
    pub connected: bool,
    /// Version of the client that asked last.
    pub client_version: Option<String>,
    /// Version of the browser extension that it named.
    pub extension_version: Option<String>,
}

/// A node in the register.
pub(crate) struct Node {
    /// The secret that the node must show.
    pub secret: NodeSecret,
    /// Whether the operator wants the node to drain.
    pub drains: bool,
}

/// The stored form of the secret that a node shows on admission.
pub struct NodeSecret {
    /// Salt of the hash.
    pub salt: [u8; 16],
    /// SHA-256 over salt and secret.
    pub hash: [u8; 32],
}

impl Store {
    /// Opens the store of a configuration, or makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError::UnknownVersion`], [`StoreError::Traces`], [`StoreError::File`].
    pub async fn open(config: &Config) -> Result<Self> {
        Ok(match &config.store {
            Some(database) => Self::Postgres(Box::new(Postgres::open(database).await?)),
            None => Self::Sqlite(Sqlite::open(config.database()).await?),
        })
    }

    /// Adds an account.
    ///
    /// # Errors
    /// [`StoreError::NameTaken`].
    pub(crate) async fn create(&self, account: Account) -> Result<()> {
        match self {
            Self::Sqlite(store) => store.create(account).await,
            Self::Postgres(store) => store.create(account).await,
        }
    }

    /// The account with that user name, in upper or lower case.
    pub(crate) async fn by_name(&self, username: String) -> Result<Option<Account>> {
        match self {
            Self::Sqlite(store) => store.by_name(username).await,
            Self::Postgres(store) => store.by_name(username).await,
        }
    }

    /// Edits an account in one transaction, during which no other edit of it is possible. Returns
    /// what `change` returns.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAccount`], [`StoreError::NameTaken`]. Then nothing has changed.
    pub(crate) async fn edit<T: Send + 'static>(
        &self,
        id: AccountId,
        change: impl FnOnce(&mut Account) -> T + Send + 'static,
    ) -> Result<T> {
        match self {
            Self::Sqlite(store) => store.edit(id, change).await,
            Self::Postgres(store) => store.edit(id, change).await,
        }
    }

    /// Erases an account, and everything that the database would keep of its row.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAccount`].
    pub(crate) async fn erase(&self, id: AccountId) -> Result<()> {
        match self {
            Self::Sqlite(store) => store.erase(id).await,
            Self::Postgres(store) => store.erase(id).await,
        }
    }

    /// Removes what the database keeps of rows that this process edited. SQLite keeps nothing.
    pub(crate) async fn forget(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(store) => store.forget().await,
        }
    }

    /// Removes what the database keeps of rows that any process edited.
    pub(crate) async fn forget_all(&self) -> Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(store) => store.forget_all().await,
        }
    }

    /// Edits the account with that user name as [`Store::edit`] does, once for each payment.
    /// `false`: this payment was taken before, and nothing has changed.
    ///
    /// # Errors
    /// [`StoreError::NoSuchAccount`]. Then the payment may come again.
    pub(crate) async fn pay(
        &self,
        proof: Proof,
        username: String,
        give: impl FnOnce(&mut Account) + Send + 'static,
    ) -> Result<bool> {
        match self {
            Self::Sqlite(store) => store.pay(proof, username, give).await,
            Self::Postgres(store) => store.pay(proof, username, give).await,
        }
    }

    /// Deletes the proofs of payments that cannot come again after `now`.
    pub(crate) async fn forget_payments(&self, now: Moment) -> Result<()> {
        match self {
            Self::Sqlite(store) => store.forget_payments(now).await,
            Self::Postgres(store) => store.forget_payments(now).await,
        }
    }

    /// At most `max` accounts in the order of their names, beginning after `last`.
    ///
    /// # Errors
    /// The database fails.
    pub async fn page(&self, last: Option<String>, max: u32) -> Result<Vec<Account>> {
        match self {
            Self::Sqlite(store) => store.page(last.unwrap_or_default(), max).await,
            Self::Postgres(store) => store.page(last.unwrap_or_default(), max).await,
        }
    }

    /// Those of these accounts that have not been erased, and whether each has ever connected.
    pub(crate) async fn known(&self, ids: Vec<AccountId>) -> Result<HashMap<AccountId, bool>> {
        match self {
            Self::Sqlite(store) => store.known(ids).await,
            Self::Postgres(store) => store.known(ids).await,
        }
    }

    /// The daily write: all marks in one transaction. `updated_at` does not change.
    ///
    /// # Errors
    /// The database fails. Then nothing was written.
    pub(crate) async fn mark(&self, marks: HashMap<AccountId, Mark>) -> Result<()> {
        match self {
            Self::Sqlite(store) => store.mark(marks).await,
            Self::Postgres(store) => store.mark(marks).await,
        }
    }

    /// A lease with which this process, reached at `address`, takes part in the election of the
    /// leader. `None`: the store belongs to this process alone.
    pub(crate) async fn leader_lease(&self, address: &str) -> Result<Option<LeaderLease>> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(store) => store.leader_lease(address).await.map(Some),
        }
    }

    /// The address of the leader. `None`: there is no leader, or the store belongs to this process
    /// alone.
    pub(crate) async fn leader_address(&self) -> Result<Option<String>> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(store) => store.leader_address().await,
        }
    }

    /// Registers a node, or gives a registered node a new secret.
    ///
    /// # Errors
    /// The database fails.
    pub async fn register_node(&self, name: String, secret: NodeSecret) -> Result<()> {
        match self {
            Self::Sqlite(store) => store.register_node(name, secret).await,
            Self::Postgres(store) => store.register_node(name, secret).await,
        }
    }

    /// Removes a node from the register. `false`: it was not there.
    pub(crate) async fn revoke_node(&self, name: String) -> Result<bool> {
        match self {
            Self::Sqlite(store) => store.revoke_node(name).await,
            Self::Postgres(store) => store.revoke_node(name).await,
        }
    }

    /// Tells a registered node to drain, or to stop draining. `false`: it is not registered.
    pub(crate) async fn drain_node(&self, name: String, on: bool) -> Result<bool> {
        match self {
            Self::Sqlite(store) => store.drain_node(name, on).await,
            Self::Postgres(store) => store.drain_node(name, on).await,
        }
    }

    /// The registered node with that name.
    pub(crate) async fn node(&self, name: String) -> Result<Option<Node>> {
        match self {
            Self::Sqlite(store) => store.node(name).await,
            Self::Postgres(store) => store.node(name).await,
        }
    }
}

#[cfg(test)]
mod tests;
