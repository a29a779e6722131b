//! What is done when an hour of the wall clock begins.

use std::time::{Duration, Instant};

use crate::clock::{self, DAY, HOUR};
use crate::marks;
use crate::service::Service;

/// The wall clock may be set: it is looked at this often.
const LOOK: Duration = Duration::from_secs(10);

/// Waits for hours to begin, for ever.
pub(crate) async fn run(service: &Service) {
    let mut hour = clock::unix_now() / HOUR;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = clock::unix_now();
        if now / HOUR == hour {
            continue;
        }
        hour = now / HOUR;
        begin_hour(service, now).await;
    }
}

async fn begin_hour(service: &Service, now: u64) {
    for limit in [&service.tokens, &service.sign_ups, &service.failures] {
        limit.sweep(Instant::now());
    }
    // What fails is tried again: keys in an hour, marks in a day. There is nobody to tell.
    let _ = service.tickets.turn(now);
    if now % DAY / HOUR == marks::HOUR_OF_WRITE {
        let _ = service.marks.write(&service.store).await;
    }
}
