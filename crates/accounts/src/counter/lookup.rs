//! Whose tickets still stand: one question to the store for all streams that wait.
//!
//! While the store answers one, the next gathers. So a thousand streams with a report each
//! cost little more than one with a thousand.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::core::record::AccountId;
use crate::store::Store;

/// Questions that may wait, and that are put as one.
const MOST: usize = 1024;

/// The accounts that have not been erased, and whether each has ever connected. Nothing: the
/// store did not answer.
pub(super) type Known = Option<Arc<HashMap<AccountId, bool>>>;

/// The way to the task that asks.
pub(super) struct Lookup(mpsc::Sender<Question>);

struct Question {
    ids: Vec<AccountId>,
    reply: oneshot::Sender<Known>,
}

impl Lookup {
    /// Starts the task; it ends with the last handle.
    pub(super) fn start(store: Arc<Store>) -> Self {
        let (sender, questions) = mpsc::channel(MOST);
        tokio::spawn(answer(store, questions));
        Self(sender)
    }

    /// What the store knows of these accounts, and maybe of others.
    pub(super) async fn known(&self, ids: Vec<AccountId>) -> Known {
        let (reply, known) = oneshot::channel();
        self.0.send(Question { ids, reply }).await.ok()?;
        known.await.ok()?
    }
}

async fn answer(store: Arc<Store>, mut questions: mpsc::Receiver<Question>) {
    let mut batch = Vec::new();
    while questions.recv_many(&mut batch, MOST).await > 0 {
        let ids = batch.iter().flat_map(|question| &question.ids).copied();
        let known = store.known(ids.collect()).await.ok().map(Arc::new);
        for question in batch.drain(..) {
            // A stream that has gone does not ask any more.
            let _ = question.reply.send(known.clone());
        }
    }
}
