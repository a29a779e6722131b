//! Which account each granted ticket of a stream belongs to.
//!
//! A session that is renewed again and again outlives the key of the ticket under which it was
//! granted. Its -1 carries that ticket, which can then no longer be opened. So the account is kept
//! here until the device is gone. The table holds a salted hash of the ticket, not the ticket.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};

use mayfly_wire::Ticket;

use crate::core::record::AccountId;

/// The granted tickets of one stream, with the number of devices granted under each.
#[derive(Default)]
pub(super) struct Granted {
    salt: RandomState,
    tickets: HashMap<u64, (AccountId, u32)>,
}

impl Granted {
    /// Adds a device.
    pub(super) fn put(&mut self, ticket: &Ticket, account: AccountId) {
        let key = self.salt.hash_one(ticket);
        self.tickets.entry(key).or_insert((account, 0)).1 += 1;
    }

    /// Removes a device. Returns its account, if one was granted under this ticket.
    pub(super) fn take(&mut self, ticket: &Ticket) -> Option<AccountId> {
        let Entry::Occupied(mut entry) = self.tickets.entry(self.salt.hash_one(ticket)) else {
            return None;
        };
        let (account, devices) = *entry.get();
        if devices > 1 {
            entry.get_mut().1 = devices - 1;
        } else {
            entry.remove();
        }
        Some(account)
    }
}

#[cfg(test)]
mod tests {
    use mayfly_wire::TICKET_LEN;

    use super::*;

    #[test]
    fn a_ticket_is_known_for_as_many_devices_as_it_was_granted_and_no_longer() {
        let (mut granted, ann) = (Granted::default(), AccountId([1; 16]));
        let [ticket, other] = [1, 2].map(|byte| Ticket([byte; TICKET_LEN]));
        granted.put(&ticket, ann);
        granted.put(&ticket, ann);
        assert_eq!(granted.take(&other), None);
        assert_eq!(granted.take(&ticket), Some(ann));
        assert_eq!(granted.take(&ticket), Some(ann));
        assert_eq!(granted.take(&ticket), None);
        assert!(granted.tickets.is_empty());
    }
}
