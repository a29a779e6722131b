//! The end of an erased account's sessions. The live counter is searched for devices of erased
//! accounts, and the streams that count such devices are closed, at most once a minute. Their nodes
//! report again, are denied, and end the sessions as they end the session of a fifth device (rule 6
//! of `crates/counter/PROTOCOL.md`).
//!
//! The search does not depend on where the account was erased: the command line erases accounts,
//! too, and so does every process on the same store.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::service::Service;

const MINUTE: Duration = Duration::from_secs(60);

/// The most accounts in one query to the store.
const BATCH: usize = 1000;

/// Searches after each erasure of this process, and each minute. Never ends.
pub(crate) async fn run(service: &Service) {
    loop {
        // In both cases it is time to search.
        let _ = timeout(MINUTE, service.erasures.notified()).await;
        // A search that fails is repeated.
        if look(service).await == Some(true) {
            sleep(MINUTE).await;
        }
    }
}

/// Whether streams were closed. `None`: this process is not the leader, or the store does not
/// answer.
async fn look(service: &Service) -> Option<bool> {
    let mut erased = Vec::new();
    for accounts in service.counter.accounts().await.ok()?.chunks(BATCH) {
        let known = service.store.known(accounts.to_vec()).await.ok()?;
        let unknown = accounts.iter().filter(|id| !known.contains_key(id));
        erased.extend(unknown.copied());
    }
    let found = !erased.is_empty();
    if found {
        service.counter.erased(erased).await.ok()?;
    }
    Some(found)
}
