//! What PostgreSQL keeps of rows as they were, and its removal.
//!
//! A row that was replaced or deleted stays in its page, and in the write-ahead log. `VACUUM`
//! only gives its place free. So the table is written anew, into new files, in the order of
//! the random ids, which also takes away the order of sign-ups; then the log moves on to
//! another file, and a checkpoint removes the old ones.
//!
//! A table that is written anew keeps a row that is gone for as long as a transaction could
//! still see it, of whatever database. So those that began before it went have to end first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::core::error::StoreError;

/// One after the other, for some of them refuse to stand in a transaction.
///
/// `CLUSTER` is `VACUUM FULL` in an order.
const STEPS: [&str; 5] = [
    "CLUSTER account USING account_pkey",
    "VACUUM (FULL) node",
    "VACUUM (FULL) payment",
    "SELECT pg_switch_wal()",
    "CHECKPOINT",
];

/// Transactions that run, but for the asker's: each holds a lock on its own number.
const RUNNING: &str = "
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'virtualxid' AND granted AND pid <> pg_backend_pid()";

/// How long they may take; after that what they hold back is left to the next time.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often they are looked for.
const PAUSE: Duration = Duration::from_millis(50);

/// How many remnants there have been, and how many have been taken away.
#[derive(Default)]
pub(super) struct Remnants {
    dirty: AtomicU64,
    cleaned: Mutex<u64>,
}

impl Remnants {
    pub(super) fn mark_dirty(&self) {
        self.dirty.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes away all that were there before the call. Of many calls at once, one does it for
    /// all that wait.
    pub(super) async fn clean(&self, client: &Object) -> Result<(), StoreError> {
        let own = self.dirty.load(Ordering::Relaxed);
        let mut cleaned = self.cleaned.lock().await;
        if *cleaned >= own {
            return Ok(());
        }
        let dirty = self.dirty.load(Ordering::Relaxed);
        let nothing_held_back = older_have_ended(client).await?;
        for step in STEPS {
            client.batch_execute(step).await?;
        }
        if nothing_held_back {
            *cleaned = dirty;
        }
        Ok(())
    }
}

/// Waits until every transaction that runs now has ended; whether it has in time.
async fn older_have_ended(client: &Object) -> Result<bool, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    let mut older = running(client).await?;
    while !older.is_empty() && Instant::now() < deadline {
        sleep(PAUSE).await;
        let now = running(client).await?;
        older.retain(|transaction| now.contains(transaction));
    }
    Ok(older.is_empty())
}

async fn running(client: &Object) -> Result<Vec<String>, StoreError> {
    let rows = client.query(RUNNING, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
