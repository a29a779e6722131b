//! The removal of old rows, which PostgreSQL keeps.
//!
//! A row that was replaced or deleted stays in its page and in the write-ahead log. `VACUUM` only
//! marks its space as free. So the table is rewritten into new files, in the order of the random
//! ids, which also removes the order of sign-ups. Then the log switches to another file, and a
//! checkpoint removes the old files.
//!
//! A rewritten table still contains a deleted row as long as a transaction of any database can
//! see the row. So the transactions that began before the deletion have to end first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::Object;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::store::Result;

/// The steps, one after the other: some of them cannot run in a transaction.
///
/// `CLUSTER` is `VACUUM FULL` in the order of an index.
const STEPS: [&str; 5] = [
    "CLUSTER account USING account_pkey",
    "VACUUM (FULL) node",
    "VACUUM (FULL) payment",
    "SELECT pg_switch_wal()",
    "CHECKPOINT",
];

/// The running transactions, except that of this query. Each holds a lock on its own number.
const RUNNING: &str = "
SELECT virtualtransaction FROM pg_locks
WHERE locktype = 'virtualxid' AND granted AND pid <> pg_backend_pid()";

/// How long to wait for them. What they still hold back is removed the next time.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two looks at them.
const PAUSE: Duration = Duration::from_millis(50);

/// How many edits have left remnants, and how many of these have been cleaned.
#[derive(Default)]
pub(super) struct Remnants {
    dirty: AtomicU64,
    cleaned: Mutex<u64>,
}

impl Remnants {
    pub(super) fn mark_dirty(&self) {
        self.dirty.fetch_add(1, Ordering::Relaxed);
    }

    /// Removes all remnants of edits before the call. Of several calls at the same time, one does
    /// the work for all that wait.
    pub(super) async fn clean(&self, client: &Object) -> Result<()> {
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

/// Waits until every transaction that is running now has ended. `false`: some have not in time.
async fn older_have_ended(client: &Object) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let mut older = running(client).await?;
    while !older.is_empty() && Instant::now() < deadline {
        sleep(PAUSE).await;
        let now = running(client).await?;
        older.retain(|transaction| now.contains(transaction));
    }
    Ok(older.is_empty())
}

async fn running(client: &Object) -> Result<Vec<String>> {
    let rows = client.query(RUNNING, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
