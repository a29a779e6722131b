//! Several processes on one store: all answer clients, and one of them, the leader, counts.
//!
//! ```text
//!   clients --> any process ---- accounts --------> PostgreSQL
//!                   |  \--- where is the leader? ->   lock, held by the leader
//!                   |
//!                   +-- devices? ticket keys --> the leader <-- nodes' streams
//! ```
//!
//! The process that holds a lock of the database is the leader ([`election`]). When the leader is
//! lost, another process gets the lock and starts to count like a service that has restarted. The
//! nodes try the addresses that they know in turn, and report their sessions again. The lock tells
//! where its holder is, so nothing about the leader is stored, and the lock ends with the
//! connection.
//!
//! Processes talk to each other over TLS. Each process has the key of the authority, and certifies
//! itself at each start. The leader tells the others how many devices an account has. Ticket keys
//! are exchanged with the leader, so that each process can open the tickets of the others. These
//! keys are never put into the database, whose backups would outlive them.

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

/// The path at which the leader tells an account's devices: 16 bytes in, one out.
pub(crate) const DEVICES_PATH: &str = "/v1/replicas/devices";

/// The path at which the leader exchanges ticket keys.
pub(crate) const TICKET_KEYS_PATH: &str = "/v1/replicas/ticket-keys";

/// How often ticket keys are exchanged. The leader makes the next day's key an hour before the day.
const EXCHANGE: Duration = Duration::from_secs(5);
/// The pause after an exchange that failed.
const AGAIN: Duration = Duration::from_millis(500);

/// Access to the counter, local or remote.
pub(crate) struct Replicas {
    counter: Arc<Counter>,
    store: Arc<Store>,
    tickets: Arc<TicketKeys>,
    /// `None` where the store belongs to this process alone.
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

    /// Runs the election. A single process is always the leader. Ends with an error only.
    /// `address` is where the other processes reach this one.
    ///
    /// # Errors
    /// [`StartError::Thread`], of a single process.
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

    /// The number of an account's devices that are connected now.
    ///
    /// # Errors
    /// [`NotLeader`]: there is no leader, or it cannot be reached.
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
                // A key that cannot be written now is offered again.
                let _ = self.tickets.merge(theirs, clock::unix_now());
            }
            let failed = matches!(theirs, Some(Err(_)));
            sleep(if failed { AGAIN } else { EXCHANGE }).await;
        }
    }
}
