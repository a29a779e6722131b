//! How often a token is spent.

use std::collections::HashMap;

use mayfly_wire::Ticket;

use super::salted::Salted;

/// How many enrolments a token may make, or ask a full pool for, in a minute. A client makes one, and
/// another if it lost the answer together with its key.
const IN_A_MINUTE: u8 = 6;

/// The tokens that were spent in the present minute, under salted hashes. Each has been verified,
/// and has come with a TLS handshake of its own, of which a processor does some 2,000 a second. So
/// there are at most 120,000. With the minute the hashes go, and their salt.
#[derive(Default)]
pub(super) struct Spending(Option<Minute>);

struct Minute {
    salted: Salted,
    counts: HashMap<u64, u8>,
}

impl Spending {
    /// Counts an enrolment by a token, if it may make one more.
    pub(super) fn take(&mut self, ticket: Ticket) -> bool {
        let minute = self.0.get_or_insert_with(|| Minute {
            salted: Salted::new(),
            counts: HashMap::new(),
        });
        let count = minute
            .counts
            .entry(minute.salted.hash(&ticket.0))
            .or_default();
        let may = *count < IN_A_MINUTE;
        *count += u8::from(may);
        may
    }

    /// Takes an enrolment out of the count that did not come about.
    pub(super) fn give_back(&mut self, ticket: Ticket) {
        if let Some(minute) = &mut self.0
            && let Some(count) = minute.counts.get_mut(&minute.salted.hash(&ticket.0))
        {
            *count = count.saturating_sub(1);
        }
    }

    /// A minute has passed.
    pub(super) fn handle_minute(&mut self) {
        self.0 = None;
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}
