//! Tickets: an account's id and an expiry, sealed under a key that is new each day.
//!
//! A key is destroyed when the last ticket under it has expired. It must outlive a restart of the
//! service; otherwise every node's replay would be denied. So each key lies in a file of its own,
//! which is made before the first ticket under the key and zeroed after the last. A reader of
//! these files can open the tickets of the last two and a half days, and no others.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use mayfly_wire::{TICKET_LEN, Ticket};
use zeroize::Zeroizing;

use crate::core::clock::{DAY, HOUR};
use crate::core::files;
use crate::core::random::{self, NoRandomness};
use crate::core::record::AccountId;

/// The longest life of a ticket, in seconds. A token lasts as long as its ticket.
pub(crate) const LONGEST: u64 = 36 * HOUR;

/// Lengths in bytes of a ticket's parts, in their order (`mayfly_wire::TICKET_LEN`).
const NUMBER: usize = 4;
const NONCE: usize = 12;
const ID: usize = 16;
const EXPIRY: usize = 8;

/// Length in bytes of a key file: the day, counted from 1970, and the key.
const FILE: usize = 8 + 32;

/// The most keys that are kept: those of a few days and, right after the leader stopped, one a day
/// from each other process.
const MAX_KEYS: usize = 256;

/// The keys that have not been destroyed.
pub struct TicketKeys {
    directory: PathBuf,
    keys: RwLock<Vec<TicketKey>>,
}

/// Why no ticket was sealed.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// There are no random bytes for the nonce.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The key of the day cannot be made.
    #[error("the ticket key of the day cannot be made: {0}")]
    Key(#[from] io::Error),
    /// The ticket cannot be sealed.
    #[error("the ticket cannot be sealed")]
    Cipher,
}

/// The content of a ticket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The account.
    pub(crate) account: AccountId,
    /// When the ticket expires, in seconds since 1970.
    pub(crate) expiry: u64,
}

struct TicketKey {
    /// Random, so that it does not tell the day.
    number: [u8; NUMBER],
    /// The day on which the key seals, counted from 1970.
    day: u64,
    key: LessSafeKey,
    /// The content of its file.
    content: Zeroizing<[u8; FILE]>,
}

impl TicketKey {
    /// Whether every ticket under the key has expired.
    const fn is_spent(day: u64, now: u64) -> bool {
        now >= (day + 1) * DAY + LONGEST
    }
}

impl TicketKeys {
    /// Loads the keys in `directory`, and makes today's if it is missing.
    ///
    /// # Errors
    /// The directory or a key file cannot be made, read or removed.
    pub fn open(directory: PathBuf, now: u64) -> io::Result<Self> {
        files::make_private_directory(&directory)?;
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            match read(&path)? {
                Some(key) if !TicketKey::is_spent(key.day, now) => keys.push(key),
                Some(_) => files::destroy(&path)?,
                None => {}
            }
        }
        let ring = Self {
            directory,
            keys: RwLock::new(keys),
        };
        ring.turn(now)?;
        Ok(ring)
    }

    /// Makes today's key if it is missing, and destroys the keys whose tickets have all expired.
    ///
    /// # Errors
    /// A key file cannot be made or removed.
    pub(crate) fn turn(&self, now: u64) -> io::Result<()> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys.extract_if(.., |key| TicketKey::is_spent(key.day, now)) {
            files::destroy(&file_of(&self.directory, key.number))?;
        }
        if keys.iter().all(|key| key.day != now / DAY) {
            keys.push(make(&self.directory, now / DAY)?);
        }
        Ok(())
    }

    /// Makes the next day's key in the last hour of this day, so that every process of the service
    /// has the key before it is used.
    ///
    /// # Errors
    /// The key file cannot be made.
    pub(crate) fn prepare(&self, now: u64) -> io::Result<()> {
        let next = (now + HOUR) / DAY;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.iter().all(|key| key.day != next) {
            keys.push(make(&self.directory, next)?);
        }
        Ok(())
    }

    /// All keys, for another process of the service: number, day and key of each in turn.
    pub(crate) fn export(&self) -> Zeroizing<Vec<u8>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let mut all = Zeroizing::new(Vec::with_capacity(keys.len() * (NUMBER + FILE)));
        for key in keys.iter() {
            all.extend_from_slice(&key.number);
            all.extend_from_slice(&*key.content);
        }
        all
    }

    /// Adds the keys that another process exported, except those that are known or spent.
    ///
    /// # Errors
    /// A key file cannot be made.
    pub(crate) fn merge(&self, theirs: &[u8], now: u64) -> io::Result<()> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        for one in theirs.chunks_exact(NUMBER + FILE) {
            let Some((&number, content)) = one.split_first_chunk::<NUMBER>() else {
                continue;
            };
            let Some(key) = parse(number, content)
                .filter(|key| !TicketKey::is_spent(key.day, now) && key.day <= now / DAY + 1)
            else {
                continue;
            };
            if keys.iter().all(|known| known.number != number) && keys.len() < MAX_KEYS {
                files::create_private(&file_of(&self.directory, number), content)?;
                keys.push(key);
            }
        }
        Ok(())
    }

    /// Seals a ticket that ends at `expiry`, at most [`LONGEST`] from `now`.
    ///
    /// # Errors
    /// [`TicketError`].
    pub fn seal(&self, id: AccountId, expiry: u64, now: u64) -> Result<Ticket, TicketError> {
        if let Some(ticket) = self.seal_today(id, expiry, now) {
            return ticket;
        }
        // The day has just begun.
        self.turn(now)?;
        self.seal_today(id, expiry, now)
            .unwrap_or(Err(TicketError::Cipher))
    }

    fn seal_today(
        &self,
        id: AccountId,
        expiry: u64,
        now: u64,
    ) -> Option<Result<Ticket, TicketError>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| key.day == now / DAY)?;
        Some(seal(key, id, expiry))
    }

    /// Opens a ticket of this service, expired or not.
    pub(crate) fn open_ticket(&self, ticket: &Ticket) -> Option<Opened> {
        let (number, rest) = ticket.0.split_first_chunk::<NUMBER>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let key = keys.iter().find(|key| key.number == *number)?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key
            .key
            .open_in_place(nonce, Aad::from(number), &mut sealed)
            .ok()?;
        let (id, expiry) = plain.split_first_chunk::<ID>()?;
        Some(Opened {
            account: AccountId(*id),
            expiry: u64::from_be_bytes(expiry.try_into().ok()?),
        })
    }
}

fn seal(key: &TicketKey, id: AccountId, expiry: u64) -> Result<Ticket, TicketError> {
    let mut sealed = Zeroizing::new(Vec::with_capacity(TICKET_LEN));
    sealed.extend(id.0);
    sealed.extend(expiry.to_be_bytes());
    debug_assert_eq!(sealed.len(), ID + EXPIRY);
    // Random nonces are safe for 2^32 tickets a key (NIST SP 800-38D section 8.3).
    let nonce: [u8; NONCE] = random::bytes()?;
    key.key
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(key.number),
            &mut *sealed,
        )
        .map_err(|_| TicketError::Cipher)?;
    let ticket = [&key.number[..], &nonce[..], &sealed[..]].concat();
    let ticket = ticket.try_into().map_err(|_| TicketError::Cipher)?;
    Ok(Ticket(ticket))
}

fn file_of(directory: &Path, number: [u8; NUMBER]) -> PathBuf {
    directory.join(format!("{:08x}.key", u32::from_be_bytes(number)))
}

fn make(directory: &Path, day: u64) -> io::Result<TicketKey> {
    let number = random::bytes()?;
    let mut content = Zeroizing::new([0; FILE]);
    let key = Zeroizing::new(random::bytes::<32>()?);
    let (head, tail) = content.split_at_mut(8);
    head.copy_from_slice(&day.to_be_bytes());
    tail.copy_from_slice(&*key);
    files::create_private(&file_of(directory, number), &*content)?;
    parse(number, &*content).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The key in a file. `None`: the file is not a key file, or was cut short before a ticket was
/// sealed under the key.
fn read(path: &Path) -> io::Result<Option<TicketKey>> {
    let Some(number) = number_of(path) else {
        return Ok(None);
    };
    let content = files::read_private(path)?;
    Ok(parse(number, &content))
}

fn number_of(path: &Path) -> Option<[u8; NUMBER]> {
    let digits = path.file_name()?.to_str()?.strip_suffix(".key")?;
    u32::from_str_radix(digits, 16).ok().map(u32::to_be_bytes)
}

fn parse(number: [u8; NUMBER], content: &[u8]) -> Option<TicketKey> {
    let content = Zeroizing::new(<[u8; FILE]>::try_from(content).ok()?);
    let (day, key) = content.split_first_chunk::<8>()?;
    let key = UnboundKey::new(&AES_256_GCM, key).ok()?;
    Some(TicketKey {
        number,
        day: u64::from_be_bytes(*day),
        key: LessSafeKey::new(key),
        content,
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const NOW: u64 = 20_000 * DAY + 5 * HOUR;
    const END: u64 = NOW + 24 * HOUR;
    const ANN: AccountId = AccountId([7; 16]);

    fn keys(directory: &TempDir, now: u64) -> TicketKeys {
        TicketKeys::open(directory.path().join("tickets"), now).unwrap()
    }

    #[test]
    fn a_ticket_holds_its_account_and_its_end() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, NOW);
        let ticket = keys.seal(ANN, END, NOW).unwrap();
        let opened = Opened {
            account: ANN,
            expiry: END,
        };
        assert_eq!(keys.open_ticket(&ticket), Some(opened));
    }

    #[test]
    fn a_ticket_with_any_bit_changed_does_not_open() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, NOW);
        let ticket = keys.seal(ANN, END, NOW).unwrap();
        for place in 0..TICKET_LEN {
            let mut changed = ticket;
            changed.0[place] ^= 1;
            assert_eq!(keys.open_ticket(&changed), None);
        }
    }

    #[test]
    fn two_tickets_of_one_account_share_nothing_but_the_days_number() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, NOW);
        let [one, two] = [0, 1].map(|_| keys.seal(ANN, END, NOW).unwrap());
        assert_eq!(one.0[..NUMBER], two.0[..NUMBER]);
        assert_ne!(one.0[NUMBER..][..NONCE], two.0[NUMBER..][..NONCE]);
        assert_ne!(one.0[NUMBER + NONCE..], two.0[NUMBER + NONCE..]);
    }

    #[test]
    fn a_ticket_still_opens_after_a_restart() {
        let directory = TempDir::new().unwrap();
        let ticket = keys(&directory, NOW).seal(ANN, END, NOW).unwrap();
        assert!(keys(&directory, NOW + 60).open_ticket(&ticket).is_some());
    }

    #[test]
    fn processes_that_exchange_their_keys_open_each_others_tickets() {
        let directories = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let [one, two] = directories.each_ref().map(|directory| keys(directory, NOW));
        let ticket = one.seal(ANN, END, NOW).unwrap();
        assert_eq!(two.open_ticket(&ticket), None);
        two.merge(&one.export(), NOW).unwrap();
        two.merge(&one.export(), NOW).unwrap();
        assert!(two.open_ticket(&ticket).is_some());
        drop(two);
        assert!(keys(&directories[1], NOW).open_ticket(&ticket).is_some());
        let late = keys(&TempDir::new().unwrap(), NOW + 10 * DAY);
        late.merge(&one.export(), NOW + 10 * DAY).unwrap();
        assert_eq!(late.open_ticket(&ticket), None);
    }

    #[test]
    fn the_key_of_a_day_is_made_in_the_hour_before_it() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, NOW);
        let midnight = 20_001 * DAY;
        keys.prepare(midnight - HOUR - 1).unwrap();
        assert_eq!(keys.export().len(), NUMBER + FILE);
        keys.prepare(midnight - HOUR).unwrap();
        keys.seal(ANN, midnight + HOUR, midnight).unwrap();
        assert_eq!(keys.export().len(), 2 * (NUMBER + FILE));
    }

    #[test]
    fn a_key_is_destroyed_with_its_last_ticket_and_each_day_has_its_own() {
        let directory = TempDir::new().unwrap();
        let keys = keys(&directory, NOW);
        let files = || {
            std::fs::read_dir(directory.path().join("tickets"))
                .unwrap()
                .count()
        };
        let midnight = 20_001 * DAY;
        keys.seal(ANN, midnight + HOUR, midnight).unwrap();
        assert_eq!(files(), 2);
        keys.turn(midnight + LONGEST - 1).unwrap();
        assert_eq!(files(), 3);
        keys.turn(midnight + LONGEST).unwrap();
        assert_eq!(files(), 2);
    }
}
