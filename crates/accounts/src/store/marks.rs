//! The facts that the record learns from use: that an account authenticated or connected, and with
//! which client. They are kept in RAM and written once a day at a fixed hour, so that the time of the
//! write tells nothing.
//!
//! The service does not write when it stops, because that time would tell something. What it has
//! learnt since the last daily write is lost. It learns it again from the next token and, as nodes
//! report their sessions again, from the next grant.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::core::record::{Account, AccountId};
use crate::store::{Mark, Result, Store};

/// The hour of the day, in UTC, at which the marks are written.
pub(crate) const HOUR_OF_WRITE: u64 = 3;

/// The marks since the last daily write.
#[derive(Default)]
pub(crate) struct Marks(Mutex<HashMap<AccountId, Mark>>);

impl Marks {
    /// The account got a token. The client may have named its version.
    pub(crate) fn authenticated(
        &self,
        account: &Account,
        client_version: Option<String>,
        extension_version: Option<String>,
    ) {
        let is_new = |said: &Option<String>, known| said.is_some() && said != known;
        let says_more = is_new(&client_version, &account.client_version)
            || is_new(&extension_version, &account.extension_version);
        if account.has_authenticated.0 && !says_more {
            return;
        }
        let mut marks = self.lock();
        let mark = marks.entry(account.id).or_default();
        mark.authenticated = true;
        mark.client_version = client_version.or_else(|| mark.client_version.take());
        mark.extension_version = extension_version.or_else(|| mark.extension_version.take());
    }

    /// The account was granted a device.
    pub(crate) fn connected(&self, id: AccountId) {
        self.lock().entry(id).or_default().connected = true;
    }

    /// The account has been erased.
    pub(crate) fn forget(&self, id: AccountId) {
        self.lock().remove(&id);
    }

    /// Writes all marks. If that fails, they stay for the next day.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn write(&self, store: &Store) -> Result<()> {
        let marks = std::mem::take(&mut *self.lock());
        let written = store.mark(marks.clone()).await;
        if written.is_err() {
            self.put_back(marks);
        }
        written
    }

    fn put_back(&self, older: HashMap<AccountId, Mark>) {
        let mut marks = self.lock();
        for (id, older) in older {
            let mark = marks.entry(id).or_default();
            mark.authenticated |= older.authenticated;
            mark.connected |= older.connected;
            mark.client_version = mark.client_version.take().or(older.client_version);
            mark.extension_version = mark.extension_version.take().or(older.extension_version);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Mark>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
