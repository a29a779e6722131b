//! The work that is due when an hour of the wall clock begins.

use std::time::{Duration, Instant};

use crate::core::clock::{self, DAY, HOUR};
use crate::core::record::Moment;
use crate::service::Service;
use crate::store::marks;

/// How often the wall clock is read. It is not slept for, because it may be set.
const LOOK: Duration = Duration::from_secs(10);

/// Waits for each hour to begin. Never ends.
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
    // A step that fails is repeated: keys in an hour, marks in a day. The service keeps no log.
    let _ = service.tickets.turn(now);
    let _ = service.signer.turn();
    let _ = service.store.forget_payments(Moment(now)).await;
    let counts = service.counter.is_leader();
    if counts {
        let _ = service.tickets.prepare(now);
    }
    let daily = now % DAY / HOUR == marks::HOUR_OF_WRITE;
    if daily {
        let _ = service.marks.write(&service.store).await;
    }
    // Once a day the leader also removes what the command line left.
    let _ = match daily && counts {
        true => service.store.forget_all().await,
        false => service.store.forget().await,
    };
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::Config;
    use crate::core::record::PasswordHash;
    use crate::core::sign_up::{new_account, plain_sign_up};
    use crate::keys::authority::Authority;

    const NOW: u64 = 20_000 * DAY + 1234;

    async fn service(directory: &TempDir) -> Service {
        let data = directory.path();
        Authority::init(data, NOW).unwrap();
        let text = format!("listen = \"127.0.0.1:0\"\ndata = {data:?}\nnames = [\"localhost\"]\n");
        let config = Config::parse("accounts.toml", &text).unwrap();
        Service::open(&config, NOW).await.unwrap()
    }

    #[tokio::test]
    async fn a_payment_is_known_for_the_retry_window_and_then_gone() {
        let directory = TempDir::new().unwrap();
        let service = service(&directory).await;
        let sign_up = plain_sign_up("ann".to_owned(), String::new());
        let ann = new_account(sign_up, PasswordHash(String::new()), NOW).unwrap();
        service.store.create(ann).await.unwrap();
        let tell = async |now| {
            let proof = service.payments.proof("payment-1", now);
            service.store.pay(proof, "ann".to_owned(), |_| ()).await
        };
        assert!(tell(NOW).await.unwrap());
        let window = 72 * HOUR;
        begin_hour(&service, NOW + window).await;
        assert!(!tell(NOW + window).await.unwrap());
        begin_hour(&service, NOW + window + HOUR).await;
        assert!(tell(NOW + window + HOUR).await.unwrap());
    }
}
