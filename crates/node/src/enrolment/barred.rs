//! Keys that are refused for a while (rule 6 of `crates/counter/PROTOCOL.md`).

use std::collections::{HashSet, VecDeque};

use mayfly_counter::constants::KEY_REFUSED_FOR;
use mayfly_wire::PublicKey;

use super::salted::Salted;

/// Refused keys, minute by minute: the salted hashes of those that were denied in the same minute
/// are kept together, under a salt of their own, and go together. A time that is finer is kept
/// nowhere, and of keys that are no longer refused nothing is left, neither hash nor salt.
///
/// A key gets here by five minutes of an enrolled session, and stays for [`KEY_REFUSED_FOR`], which
/// is ten, and the rest of a minute. So there are at most three times as many as addresses in the
/// pools.
#[derive(Default)]
pub(super) struct Barred {
    /// The present minute is the last.
    minutes: VecDeque<Option<Minute>>,
}

struct Minute {
    salted: Salted,
    /// Boxed with its table: what is freed is zeroed.
    keys: HashSet<u64>,
}

impl Barred {
    pub(super) fn add(&mut self, key: PublicKey) {
        if self.minutes.is_empty() {
            self.minutes.push_back(None);
        }
        if let Some(minute) = self.minutes.back_mut() {
            let minute = minute.get_or_insert_with(|| Minute {
                salted: Salted::new(),
                keys: HashSet::new(),
            });
            minute.keys.insert(minute.salted.hash(&key.0));
        }
    }

    pub(super) fn holds(&self, key: PublicKey) -> bool {
        let mut minutes = self.minutes.iter().flatten();
        minutes.any(|minute| minute.keys.contains(&minute.salted.hash(&key.0)))
    }

    /// A minute has passed.
    pub(super) fn handle_minute(&mut self) {
        self.minutes.push_back(None);
        // The minute in which a key was denied has passed in part only.
        let whole = KEY_REFUSED_FOR.as_secs() / 60 + 1;
        while self.minutes.len() as u64 > whole {
            self.minutes.pop_front();
        }
        if self.minutes.iter().all(Option::is_none) {
            // Frees the memory, too.
            self.minutes = VecDeque::new();
        }
    }

    /// Whether nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.minutes.is_empty()
    }
}
