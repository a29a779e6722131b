//! The end of an erased account's sessions: its devices are looked for in the live counter, and
//! the streams that count them are closed, at most once a minute. Their nodes report anew, are
//! denied, and end the sessions as they end a fifth device (design, "The counter", rule 6).
//!
//! It looks at what there is, not at who erased it: the command line does that too, and any
//! process that serves the same store.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::service::Service;

const MINUTE: Duration = Duration::from_secs(60);

/// Accounts that the store is asked about at once.
const BATCH: usize = 1000;

/// Looks after each erasure of this process, and each minute, for ever.
pub(crate) async fn run(service: &Service) {
    loop {
        // Either way, it is time to look.
        let _ = timeout(MINUTE, service.erasures.notified()).await;
        // What fails is tried again.
        if look(service).await == Some(true) {
            sleep(MINUTE).await;
        }
    }
}

/// Whether some streams had to be closed. `None`: this process does not count, or the store does
/// not answer.
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
