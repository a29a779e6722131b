//! Who counts: the process whose connection holds the lock.
//!
//! Two never count at once: the holder asks every two seconds whether its connection lives and
//! lays the counter down five seconds after the last answer at the latest; the server ends a
//! connection, and frees its lock, that has not asked for ten.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::counter::Counter;
use crate::store::{Seat, Store, StoreError};

/// How often a process that does not count tries to, and how often one that does asks.
const TRY: Duration = Duration::from_millis(500);
const CHECK: Duration = Duration::from_secs(2);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// Takes part for ever.
pub(super) async fn run(store: &Store, counter: &Counter, address: SocketAddr) {
    loop {
        let seat = store.seat(&address.to_string()).await;
        if let Ok(Some(seat)) = &seat {
            // Ends with an error, as a connection does.
            let _ = contend(seat, counter).await;
        }
        // Before the seat goes, and with it the lock.
        counter.lay_down().await;
        drop(seat);
        sleep(TRY).await;
    }
}

async fn contend(seat: &Seat, counter: &Counter) -> Result<(), StoreError> {
    while !in_time(seat.take()).await? {
        sleep(TRY).await;
    }
    counter.take_up().map_err(|_| StoreError::Fault)?;
    loop {
        sleep(CHECK).await;
        in_time(seat.check()).await?;
    }
}

async fn in_time<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(PATIENCE, answer)
        .await
        .map_err(|_| StoreError::Fault)?
}
