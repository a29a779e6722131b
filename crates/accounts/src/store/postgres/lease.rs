//! The lock of the process that counts.
//!
//! An advisory lock belongs to a connection and is freed with it. The connection's name is
//! where its process is reached, so that the others can see who holds the lock. It is taken by
//! trying, not by waiting: a wait would hold a view of the tables, and rows that were erased
//! meanwhile could not be taken away.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::core::error::StoreError;

/// A number of ours.
const LOCK: i64 = 0x6d61_7966_6c79_0002;

/// The server ends a connection that has not asked for so long.
const LEASE: &str = "SET idle_session_timeout = '10s'";

const HOLDER: &str = "
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND classid = ($1::bigint >> 32)::oid AND objid = ($1::bigint & 4294967295)::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A connection that can hold the lock.
pub struct LeaderLease {
    client: Client,
    /// Runs the connection, until it ends.
    connection: JoinHandle<()>,
}

impl LeaderLease {
    pub(super) async fn connect(
        mut server: tokio_postgres::Config,
        tls: MakeRustlsConnect,
        address: &str,
    ) -> Result<Self, StoreError> {
        server.application_name(address);
        let (client, connection) = server.connect(tls).await?;
        let connection = tokio::spawn(async {
            // How it ends is all the same.
            let _ = connection.await;
        });
        client.batch_execute(LEASE).await?;
        Ok(Self { client, connection })
    }

    /// Whether we hold the lock now.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn try_acquire(&self) -> Result<bool, StoreError> {
        let row = self
            .client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Whether the connection, and the lock with it, is there.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn check(&self) -> Result<(), StoreError> {
        Ok(self.client.batch_execute("").await?)
    }

    /// Lets a time pass.
    ///
    /// # Errors
    /// The connection has ended; at once.
    pub async fn hold(&mut self, time: Duration) -> Result<(), StoreError> {
        match timeout(time, &mut self.connection).await {
            Ok(_) => Err(StoreError::Postgres("the connection has ended".to_owned())),
            Err(_) => Ok(()),
        }
    }
}

/// Where the process is that holds the lock.
pub(super) async fn holder(client: &Client) -> Result<Option<String>, StoreError> {
    let row = client.query_opt(HOLDER, &[&LOCK]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
