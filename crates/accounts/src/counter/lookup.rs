//! Which accounts have not been erased: one query to the store for all streams that wait.
//!
//! While the store answers one query, the questions of the next one gather. So a thousand streams
//! with a report each cost little more than one stream with a thousand.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::core::record::AccountId;
use crate::store::Store;

/// The most questions that wait, and the most that become one query.
const MAX_QUESTIONS: usize = 1024;

/// The accounts that have not been erased, and whether each has ever connected. `None`: the store
/// did not answer.
pub(super) type Known = Option<Arc<HashMap<AccountId, bool>>>;

/// The handle of the task that queries the store.
pub(super) struct Lookup(mpsc::Sender<Question>);

struct Question {
    ids: Vec<AccountId>,
    reply: oneshot::Sender<Known>,
}

impl Lookup {
    /// Starts the task. It ends with its handle.
    pub(super) fn start(store: Arc<Store>) -> Self {
        let (sender, questions) = mpsc::channel(MAX_QUESTIONS);
        tokio::spawn(answer(store, questions));
        Self(sender)
    }

    /// What the store knows of these accounts, and possibly of others.
    pub(super) async fn known(&self, ids: Vec<AccountId>) -> Known {
        let (reply, known) = oneshot::channel();
        self.0.send(Question { ids, reply }).await.ok()?;
        known.await.ok()?
    }
}

async fn answer(store: Arc<Store>, mut questions: mpsc::Receiver<Question>) {
    let mut batch = Vec::new();
    while questions.recv_many(&mut batch, MAX_QUESTIONS).await > 0 {
        let ids = batch.iter().flat_map(|question| &question.ids).copied();
        let known = store.known(ids.collect()).await.ok().map(Arc::new);
        for question in batch.drain(..) {
            // A stream that has ended does not wait for the answer.
            let _ = question.reply.send(known.clone());
        }
    }
}
