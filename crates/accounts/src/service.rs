//! The service's parts, as every request finds them.

mod erasure;
mod hourly;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::core::error::{StartError, StoreError};
use crate::core::limits::{Limit, Salt, Subject};
use crate::core::password::{self, Passwords};
use crate::core::payments::Payments;
use crate::core::record::{Account, AccountId};
use crate::counter::replicas::Replicas;
use crate::counter::{Counter, NotLeader};
use crate::keys::authority::Authority;
use crate::keys::shop::ShopKeys;
use crate::keys::tickets::TicketKeys;
use crate::keys::token::Signer;
use crate::store::Store;
use crate::store::marks::Marks;

/// The user that a request says it comes from.
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Zeroizing<String>,
}

/// The client's network has had its failures of this hour. Holds the time until it may fail
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failures from this network")]
pub(crate) struct TooManyFailures(pub(crate) Duration);

/// Why a user was not authenticated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// The user is unknown or the password is wrong; the answer does not say which.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// The network may not try.
    #[error(transparent)]
    TooManyFailures(#[from] TooManyFailures),
    /// The password was not held against its hash.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that outlives a request.
pub struct Service {
    pub(crate) store: Arc<Store>,
    pub(crate) passwords: Passwords,
    pub(crate) tickets: Arc<TicketKeys>,
    pub(crate) signer: Signer,
    pub(crate) authority: Authority,
    pub(crate) payments: Payments,
    pub(crate) shop: ShopKeys,
    pub(crate) counter: Arc<Counter>,
    replicas: Replicas,
    pub(crate) marks: Arc<Marks>,
    pub(crate) erasures: Notify,
    pub(crate) salt: Salt,
    pub(crate) tokens: Limit,
    pub(crate) sign_ups: Limit,
    pub(crate) failures: Limit,
}

impl Service {
    /// Takes up what lies in the data directory.
    ///
    /// # Errors
    /// What is missing, or does not fit.
    pub async fn open(config: &Config, now: u64) -> Result<Self, StartError> {
        let named = |path| move |error| StartError::file(path, error);
        let authority = Authority::load(&config.data)?;
        let signer = Signer::open(&config.token_key()).map_err(named(config.token_key()))?;
        let tickets =
            TicketKeys::open(config.ticket_keys(), now).map_err(named(config.ticket_keys()))?;
        let tickets = Arc::new(tickets);
        let retry_hours = *config.payments.retry_hours.get_ref();
        let payments = Payments::new(authority.salt().clone(), retry_hours);
        let marks = Arc::new(Marks::default());
        let store = Arc::new(Store::open(config).await?);
        let counter = Counter::new(store.clone(), tickets.clone(), marks.clone());
        let counter = Arc::new(counter);
        let replicas = Replicas::new(
            config,
            store.clone(),
            tickets.clone(),
            counter.clone(),
            &authority,
        )?;
        Ok(Self {
            store,
            passwords: Passwords::new(*config.limits.hashes.get_ref())?,
            tickets,
            signer,
            authority,
            payments,
            shop: ShopKeys::new(config.shop_key()),
            counter,
            replicas,
            marks,
            erasures: Notify::new(),
            salt: Salt::default(),
            tokens: Limit::new(config.limits.tokens),
            sign_ups: Limit::new(config.limits.sign_ups),
            failures: Limit::new(config.limits.failures),
        })
    }

    /// Takes part in the election, and does what is due each minute and each hour. Ends with an
    /// error only. `address` is where the other processes reach this one.
    ///
    /// # Errors
    /// [`StartError::Thread`]: the system gives no thread to count on.
    pub(crate) async fn run(&self, address: SocketAddr) -> Result<(), StartError> {
        tokio::select! {
            () = hourly::run(self) => Ok(()),
            () = erasure::run(self) => Ok(()),
            ended = self.replicas.run(address) => ended,
        }
    }

    /// Devices of an account that are connected now, whichever process counts them.
    ///
    /// # Errors
    /// [`NotLeader`].
    pub(crate) async fn devices(&self, account: AccountId) -> Result<u8, NotLeader> {
        self.replicas.devices(account).await
    }

    /// Erases an account, what is known of it in RAM and, soon after, its sessions.
    ///
    /// # Errors
    /// As [`Store::erase`].
    pub(crate) async fn erase(&self, account: AccountId) -> Result<(), StoreError> {
        self.store.erase(account).await?;
        self.marks.forget(account);
        self.erasures.notify_one();
        Ok(())
    }

    /// The account of a user who knows the password.
    ///
    /// # Errors
    /// [`LoginError`].
    pub(crate) async fn authenticate(
        &self,
        network: Subject,
        Credentials { username, password }: Credentials,
    ) -> Result<Account, LoginError> {
        // Taken before the answer is known, or many guesses at once would all find room.
        self.take_failure(network)?;
        let account = self.store.by_name(username).await?;
        let hash = account.as_ref().map(|account| account.password.clone());
        let right = self.passwords.verify(password, hash).await?;
        let account = account.filter(|_| right).ok_or(LoginError::Wrong)?;
        self.failures.give_back(network);
        Ok(account)
    }

    /// Takes a failure before it is known whether there is one.
    ///
    /// # Errors
    /// [`TooManyFailures`].
    pub(crate) fn take_failure(&self, network: Subject) -> Result<(), TooManyFailures> {
        let taken = self.failures.take(network, Instant::now());
        taken.map_err(TooManyFailures)
    }
}
