//! Who counts: the process whose connection holds the lock.
//!
//! Two do not count at once. A holder whose connection ends sees it at once, and the next one
//! waits for [`TRY`] before it counts. A holder that is cut off without a word, and asks every two
//! seconds, lays the counter down five seconds after the last answer at the latest; the server
//! ends a connection, and frees its lock, that has not asked for ten.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::counter::Counter;
use crate::store::{LeaderLease, Store};

/// How often a process that does not count tries to, and how often one that does asks.
const TRY: Duration = Duration::from_millis(500);
const CHECK: Duration = Duration::from_secs(2);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a process counts no more, or never did: the connection, or its time, has ended, or the
/// system gives no thread. Whatever it was, the process tries again.
type Ended = Box<dyn Error + Send + Sync>;

/// Takes part for ever.
pub(super) async fn run(store: &Store, counter: &Counter, address: SocketAddr) {
    loop {
        let mut lease = store.leader_lease(&address.to_string()).await;
        if let Ok(Some(lease)) = &mut lease {
            // Ends with an error, as a connection does.
            let _ = lead(lease, counter).await;
        }
        // Before the lease goes, and with it the lock.
        counter.stop().await;
        drop(lease);
        sleep(TRY).await;
    }
}

async fn lead(lease: &mut LeaderLease, counter: &Counter) -> Result<Infallible, Ended> {
    while !timeout(PATIENCE, lease.try_acquire()).await?? {
        lease.hold(TRY).await?;
    }
    // Whoever held the lock before lays the counter down meanwhile.
    lease.hold(TRY).await?;
    counter.start()?;
    loop {
        lease.hold(CHECK).await?;
        timeout(PATIENCE, lease.check()).await??;
    }
}
