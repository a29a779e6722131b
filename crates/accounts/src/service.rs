//! The parts of the service that requests share.

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

/// The user name and the password of a request.
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Zeroizing<String>,
}

/// The client's network has used up its failures. Holds the time until it may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failures from this network")]
pub(crate) struct TooManyFailures(pub(crate) Duration);

/// Why a user was not authenticated.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// The user is unknown or the password is wrong; the answer does not say which.
    #[error("the user name or the password is wrong")]
    Wrong,
    /// The network has used up its failures.
    #[error(transparent)]
    TooManyFailures(#[from] TooManyFailures),
    /// The password was not verified.
    #[error(transparent)]
    Password(#[from] password::Error),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Everything that outlives a request.
pub(crate) struct Service {
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
    erasures: Notify,
    pub(crate) salt: Salt,
    pub(crate) tokens: Limit,
    pub(crate) sign_ups: Limit,
    pub(crate) failures: Limit,
}

impl Service {
    /// Opens the store and loads the keys of the data directory.
    ///
    /// # Errors
    /// The store refuses, a file is missing or invalid, or a certificate cannot be made.
    pub(crate) async fn open(config: &Config, now: u64) -> Result<Self, StartError> {
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
    /// [`StartError::Thread`]: a single process cannot start the counter's thread.
    pub(crate) async fn run(&self, address: SocketAddr) -> Result<(), StartError> {
        tokio::select! {
            () = hourly::run(self) => Ok(()),
            () = erasure::run(self) => Ok(()),
            ended = self.replicas.run(address) => ended,
        }
    }

    /// The number of an account's devices that are connected now, from the leader.
    ///
    /// # Errors
    /// [`NotLeader`]: there is no leader, or it cannot be reached.
    pub(crate) async fn devices(&self, account: AccountId) -> Result<u8, NotLeader> {
        self.replicas.devices(account).await
    }

    /// Erases an account and its marks, and has its sessions end ([`erasure`]).
    ///
    /// # Errors
    /// As for [`Store::erase`].
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
        // Taken before the answer is known. Otherwise many guesses at the same time would all pass.
        self.take_failure(network)?;
        let account = self.store.by_name(username).await?;
        let hash = account.as_ref().map(|account| account.password.clone());
        let right = self.passwords.verify(password, hash).await?;
        let account = account.filter(|_| right).ok_or(LoginError::Wrong)?;
        self.failures.give_back(network);
        Ok(account)
    }

    /// Takes one of the network's failures. It is given back when there was none.
    ///
    /// # Errors
    /// [`TooManyFailures`].
    pub(crate) fn take_failure(&self, network: Subject) -> Result<(), TooManyFailures> {
        let taken = self.failures.take(network, Instant::now());
        taken.map_err(TooManyFailures)
    }
}
