//! Several processes on one store: all answer clients, one of them counts.
//!
//! ```text
//!   clients --> any process ---- accounts ----> PostgreSQL
//!                   |  \--- who counts? ------>   lock, held by the process that counts
//!                   |
//!                   +-- devices? ticket keys --> the process that counts <-- nodes' streams
//! ```
//!
//! The one that holds a lock of the database counts ([`Election`](election)). When it is lost,
//! another takes the lock and starts to count as a service that has restarted: the nodes,
//! which try the addresses that they know in turn, report their sessions anew. The lock says
//! where its holder is, so nothing about it is stored, and it goes with the connection.
//!
//! Processes speak to each other over TLS under certificates that their authority's key, which
//! each holds, makes at each start. The one that counts tells the others how many devices an
//! account has, and they exchange the keys of tickets, so that each opens what another sealed.
//! Those keys never come into the database, whose backups would outlive them.

mod caller;
mod election;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::core::clock;
use crate::core::error::StartError;
use crate::core::record::AccountId;
use crate::counter::{Counter, NotLeader};
use crate::keys::authority::Authority;
use crate::keys::tickets::TicketKeys;
use crate::store::Store;
use caller::Caller;

/// Where a process that counts is asked for an account's devices: 16 bytes in, one out.
pub(crate) const DEVICES_PATH: &str = "/v1/replicas/devices";

/// Where it exchanges ticket keys.
pub(crate) const TICKET_KEYS_PATH: &str = "/v1/replicas/ticket-keys";

/// How often ticket keys are exchanged. The process that counts makes the next day's an hour
/// before.
const EXCHANGE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(500);

/// The counter, wherever it is.
pub(crate) struct Replicas {
    counter: Arc<Counter>,
    store: Arc<Store>,
    tickets: Arc<TicketKeys>,
    /// None where the store is this process's alone.
    caller: Option<Caller>,
}

impl Replicas {
    pub(crate) fn new(
        config: &Config,
        store: Arc<Store>,
        tickets: Arc<TicketKeys>,
        counter: Arc<Counter>,
        authority: &Authority,
    ) -> Result<Self, StartError> {
        let caller = config
            .store
            .is_some()
            .then(|| Caller::new(config, store.clone(), authority, clock::unix_now()));
        Ok(Self {
            counter,
            store,
            tickets,
            caller: caller.transpose()?,
        })
    }

    /// Takes part for ever; `address` is where the others reach this process. Alone, it counts.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) async fn run(&self, address: SocketAddr) -> Result<(), StartError> {
        if let Some(caller) = &self.caller {
            tokio::join!(
                election::run(&self.store, &self.counter, address),
                self.exchange(caller)
            );
        }
        self.counter.start().map_err(StartError::Thread)?;
        std::future::pending().await
    }

    /// Devices of an account that are connected now.
    ///
    /// # Errors
    /// [`NotLeader`]: nobody counts, or who does is out of reach.
    pub(crate) async fn devices(&self, account: AccountId) -> Result<u8, NotLeader> {
        match (&self.caller, self.counter.is_leader()) {
            (Some(caller), false) => {
                let body = Zeroizing::new(account.0.to_vec());
                let answer = caller.ask(DEVICES_PATH, body).await?;
                answer.first().copied().ok_or(NotLeader)
            }
            _ => self.counter.devices(account).await,
        }
    }

    async fn exchange(&self, caller: &Caller) {
        loop {
            let theirs = match self.counter.is_leader() {
                true => None,
                false => Some(caller.ask(TICKET_KEYS_PATH, self.tickets.export()).await),
            };
            if let Some(Ok(theirs)) = &theirs {
                // What cannot be written now is offered again.
                let _ = self.tickets.merge(theirs, clock::unix_now());
            }
            let in_vain = matches!(theirs, Some(Err(_)));
            sleep(if in_vain { AGAIN } else { EXCHANGE }).await;
        }
    }
}
