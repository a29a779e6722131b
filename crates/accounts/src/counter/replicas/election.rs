//! The election of the leader: the process whose connection holds the lock.
//!
//! Two processes never count at the same time. A holder sees at once when its connection ends, and
//! the next holder waits for [`TRY`] before it counts. A holder that is cut off silently checks its
//! connection every two seconds, and stops counting at most five seconds after the last answer. The
//! server closes a connection, and releases its lock, after ten seconds without a query.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::counter::Counter;
use crate::store::{LeaderLease, Store};

/// How often a process tries to become the leader, and how often the leader checks its connection.
const TRY: Duration = Duration::from_millis(500);
const CHECK: Duration = Duration::from_secs(2);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a process is not the leader, or no longer: its connection has ended, an answer took too
/// long, or the counter's thread cannot be started. In each case the process tries again.
type Ended = Box<dyn Error + Send + Sync>;

/// Takes part in the election. Never ends.
pub(super) async fn run(store: &Store, counter: &Counter, address: SocketAddr) {
    loop {
        let mut lease = store.leader_lease(&address.to_string()).await;
        if let Ok(Some(lease)) = &mut lease {
            // The reason does not matter: the process tries again.
            let _ = lead(lease, counter).await;
        }
        // First the counter, then the lease and with it the lock.
        counter.stop().await;
        drop(lease);
        sleep(TRY).await;
    }
}

async fn lead(lease: &mut LeaderLease, counter: &Counter) -> Result<Infallible, Ended> {
    while !timeout(PATIENCE, lease.try_acquire()).await?? {
        lease.hold(TRY).await?;
    }
    // During this time the former holder stops its counter.
    lease.hold(TRY).await?;
    counter.start()?;
    loop {
        lease.hold(CHECK).await?;
        timeout(PATIENCE, lease.check()).await??;
    }
}
