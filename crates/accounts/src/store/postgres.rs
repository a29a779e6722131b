//! The store in PostgreSQL, for a service of several processes.
//!
//! A server keeps more than the current rows: old rows in its pages, every write in its log,
//! samples of columns for its planner, and whatever its settings tell it to log. The settings are
//! checked before anything else. No samples are taken. Pages and log are rewritten after an
//! erasure ([`forget`]).

mod forget;
mod lease;
mod row;
mod schema;
mod settings;
mod tls;

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Mark, Node, NodeSecret, Result};
use crate::config::Database;
use crate::core::error::StoreError;
use crate::core::record::{Account, AccountId, Moment, Proof};
use forget::Remnants;
pub(crate) use lease::LeaderLease;

/// The most connections of this process. Each is a process of the server.
const CONNECTIONS: usize = 8;

/// How long making a connection may take, and how long a request waits for one.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store in PostgreSQL: a few connections, made when they are needed.
pub struct Postgres {
    pool: Pool,
    server: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    remnants: Remnants,
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            // The schema has one unique column: the user name.
            Some(told) if *told.code() == SqlState::UNIQUE_VIOLATION => Self::NameTaken,
            // Only the message: the detail beside it would quote a row.
            Some(told) => Self::Postgres(told.message().to_owned()),
            None => Self::Postgres(error.to_string()),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            other => Self::Postgres(other.to_string()),
        }
    }
}

impl Postgres {
    /// Connects, checks the server's settings, and migrates the tables to this program's schema.
    pub(super) async fn open(database: &Database) -> Result<Self> {
        let config = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let (server, tls) = tls::configure(database)?;
        let manager = Manager::from_config(server.clone(), tls.clone(), config);
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .timeouts(deadpool_postgres::Timeouts {
                wait: Some(PATIENCE),
                create: Some(PATIENCE),
                recycle: Some(PATIENCE),
            })
            .build()
            .map_err(|error| StoreError::Postgres(error.to_string()))?;
        let store = Self {
            pool,
            server,
            tls,
            remnants: Remnants::default(),
        };
        let mut client = store.client().await?;
        settings::check(&client).await?;
        schema::migrate(&mut client).await?;
        drop(client);
        Ok(store)
    }

    async fn client(&self) -> Result<Object> {
        Ok(self.pool.get().await?)
    }

    pub(super) async fn create(&self, account: Account) -> Result<()> {
        let created = row::insert(&self.client().await?, &account).await?;
        created.then_some(()).ok_or(StoreError::NameTaken)
    }

    pub(super) async fn by_name(&self, username: String) -> Result<Option<Account>> {
        row::by_name(&self.client().await?, &username).await
    }

    pub(super) async fn edit<T>(
        &self,
        id: AccountId,
        change: impl FnOnce(&mut Account) -> T,
    ) -> Result<T> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        // Locked until the end: no other edit may come between read and write.
        let account = row::lock(&transaction, id).await?;
        let mut account = account.ok_or(StoreError::NoSuchAccount)?;
        let changed = change(&mut account);
        row::update(&transaction, &account).await?;
        transaction.commit().await?;
        self.remnants.mark_dirty();
        Ok(changed)
    }

    pub(super) async fn erase(&self, id: AccountId) -> Result<()> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("DELETE FROM account WHERE id = $1")
            .await?;
        if client.execute(&statement, &[&&id.0[..]]).await? == 0 {
            return Err(StoreError::NoSuchAccount);
        }
        self.remnants.mark_dirty();
        self.remnants.clean(&client).await
    }

    pub(super) async fn pay(
        &self,
        proof: Proof,
        username: String,
        give: impl FnOnce(&mut Account),
    ) -> Result<bool> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let account = row::lock_by_name(&transaction, &username).await?;
        let mut account = account.ok_or(StoreError::NoSuchAccount)?;
        let is_new = transaction
            .execute(
                "INSERT INTO payment (hash, ends) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                &[&&proof.hash[..], &row::seconds(proof.ends)],
            )
            .await?;
        if is_new == 0 {
            return Ok(false);
        }
        give(&mut account);
        row::update(&transaction, &account).await?;
        transaction.commit().await?;
        self.remnants.mark_dirty();
        Ok(true)
    }

    pub(super) async fn forget_payments(&self, now: Moment) -> Result<()> {
        let client = self.client().await?;
        let forgotten = client
            .execute(
                "DELETE FROM payment WHERE ends <= $1",
                &[&row::seconds(now)],
            )
            .await?;
        if forgotten > 0 {
            self.remnants.mark_dirty();
        }
        Ok(())
    }

    pub(super) async fn page(&self, last: String, max: u32) -> Result<Vec<Account>> {
        row::page(&self.client().await?, &last, max).await
    }

    /// Removes what the edits of this process left.
    pub(super) async fn forget(&self) -> Result<()> {
        self.remnants.clean(&self.client().await?).await
    }

    /// Removes what the edits of any process left.
    pub(super) async fn forget_all(&self) -> Result<()> {
        self.remnants.mark_dirty();
        self.forget().await
    }

    pub(super) async fn known(&self, ids: Vec<AccountId>) -> Result<HashMap<AccountId, bool>> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("SELECT id, has_connected FROM account WHERE id = ANY ($1)")
            .await?;
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id.0[..]).collect();
        let rows = client.query(&statement, &[&ids]).await?;
        rows.iter()
            .map(|row| Ok((row::id(row)?, row.try_get("has_connected")?)))
            .collect()
    }

    pub(super) async fn mark(&self, marks: HashMap<AccountId, Mark>) -> Result<()> {
        let client = self.client().await?;
        let statement = client.prepare_cached(schema::MARK).await?;
        let (ids, marks): (Vec<AccountId>, Vec<Mark>) = marks.into_iter().unzip();
        let ids: Vec<&[u8]> = ids.iter().map(|id| &id.0[..]).collect();
        let authenticated: Vec<bool> = marks.iter().map(|mark| mark.authenticated).collect();
        let connected: Vec<bool> = marks.iter().map(|mark| mark.connected).collect();
        let clients: Vec<_> = marks.iter().map(|mark| &mark.client_version).collect();
        let extensions: Vec<_> = marks.iter().map(|mark| &mark.extension_version).collect();
        let values: [&(dyn ToSql + Sync); 5] =
            [&ids, &authenticated, &connected, &clients, &extensions];
        client.execute(&statement, &values).await?;
        self.remnants.mark_dirty();
        Ok(())
    }

    pub(super) async fn leader_lease(&self, address: &str) -> Result<LeaderLease> {
        LeaderLease::connect(self.server.clone(), self.tls.clone(), address).await
    }

    pub(super) async fn leader_address(&self) -> Result<Option<String>> {
        let client = self.client().await?;
        lease::holder(&client).await
    }

    pub(super) async fn register_node(&self, name: String, secret: NodeSecret) -> Result<()> {
        let client = self.client().await?;
        client
            .execute(
                "INSERT INTO node (name, salt, hash) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO UPDATE SET salt = excluded.salt, hash = excluded.hash",
                &[&name, &&secret.salt[..], &&secret.hash[..]],
            )
            .await?;
        Ok(())
    }

    pub(super) async fn revoke_node(&self, name: String) -> Result<bool> {
        let client = self.client().await?;
        let revoked = client
            .execute("DELETE FROM node WHERE name = $1", &[&name])
            .await?;
        self.remnants.mark_dirty();
        Ok(revoked == 1)
    }

    pub(super) async fn drain_node(&self, name: String, on: bool) -> Result<bool> {
        let client = self.client().await?;
        let found = client
            .execute("UPDATE node SET drains = $2 WHERE name = $1", &[&name, &on])
            .await?;
        self.remnants.mark_dirty();
        Ok(found == 1)
    }

    pub(super) async fn node(&self, name: String) -> Result<Option<Node>> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("SELECT salt, hash, drains FROM node WHERE name = $1")
            .await?;
        let row = client.query_opt(&statement, &[&name]).await?;
        row.map(|row| {
            Ok(Node {
                secret: NodeSecret {
                    salt: row::bytes(&row, "salt")?,
                    hash: row::bytes(&row, "hash")?,
                },
                drains: row.try_get("drains")?,
            })
        })
        .transpose()
    }
}

#[cfg(test)]
mod tests;
