//! The lock of the leader, the process that counts.
//!
//! An advisory lock belongs to a connection and is released with it. The name of the connection is
//! the address of its process, so that the other processes can see where the holder is. A process
//! tries to get the lock and does not wait for it: a waiting statement would hold a view of the
//! tables, and old rows could not be removed during that time.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::core::error::StoreError;
use crate::store::Result;

/// Our number for the lock.
const LOCK: i64 = 0x6d61_7966_6c79_0002;

/// The server closes a connection that has been idle for this long.
const LEASE: &str = "SET idle_session_timeout = '10s'";

const HOLDER: &str = "
SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND classid = ($1::bigint >> 32)::oid AND objid = ($1::bigint & 4294967295)::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// A connection that can hold the lock of the leader.
pub(crate) struct LeaderLease {
    client: Client,
    /// The task that drives the connection until it ends.
    connection: JoinHandle<()>,
}

impl LeaderLease {
    pub(super) async fn connect(
        mut server: tokio_postgres::Config,
        tls: MakeRustlsConnect,
        address: &str,
    ) -> Result<Self> {
        server.application_name(address);
        let (client, connection) = server.connect(tls).await?;
        let connection = tokio::spawn(async {
            // The reason of its end does not matter.
            let _ = connection.await;
        });
        client.batch_execute(LEASE).await?;
        Ok(Self { client, connection })
    }

    /// Tries to get the lock. Returns whether this connection holds it now.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) async fn try_acquire(&self) -> Result<bool> {
        let row = self
            .client
            .query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK])
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Checks that the connection is there, and with it the lock.
    ///
    /// # Errors
    /// The connection has ended.
    pub(crate) async fn check(&self) -> Result<()> {
        Ok(self.client.batch_execute("").await?)
    }

    /// Waits for a time, as long as the connection is there.
    ///
    /// # Errors
    /// The connection has ended. The wait ends at once.
    pub(crate) async fn hold(&mut self, time: Duration) -> Result<()> {
        match timeout(time, &mut self.connection).await {
            Ok(_) => Err(StoreError::Postgres("the connection has ended".to_owned())),
            Err(_) => Ok(()),
        }
    }
}

/// The address of the process that holds the lock.
pub(super) async fn holder(client: &Client) -> Result<Option<String>> {
    let row = client.query_opt(HOLDER, &[&LOCK]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
