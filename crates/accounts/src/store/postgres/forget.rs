//! What PostgreSQL keeps of rows as they were, and its removal.
//!
//! A row that was replaced or deleted stays in its page, and in the write-ahead log. `VACUUM`
//! only gives its place free. So the table is written anew, into new files, in the order of
//! the random ids, which also takes away the order of sign-ups; then the log moves on to
//! another file, and a checkpoint removes the old ones.

use std::sync::atomic::{AtomicU64, Ordering};

use deadpool_postgres::Object;
use tokio::sync::Mutex;

use crate::store::StoreError;

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

/// How many remnants there have been, and how many have been taken away.
#[derive(Default)]
pub(super) struct Remnants {
    left: AtomicU64,
    gone: Mutex<u64>,
}

impl Remnants {
    pub(super) fn are_there(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes away all that were there before the call. Of many calls at once, one does it for
    /// all that wait.
    pub(super) async fn take_away(&self, client: &Object) -> Result<(), StoreError> {
        let own = self.left.load(Ordering::Relaxed);
        let mut gone = self.gone.lock().await;
        if *gone >= own {
            return Ok(());
        }
        let left = self.left.load(Ordering::Relaxed);
        for step in STEPS {
            client.batch_execute(step).await?;
        }
        *gone = left;
        Ok(())
    }
}
