//! How much of connection tracking one peer may have.
//!
//! The table is one for all, and so are the source ports towards one destination. `init` makes the
//! table as large as memory allows (`initramfs/init/src/flows.rs`). Of a table of `n` connections,
//! a peer may have
//!
//! ```text
//!   open at a time               n / 16, at most 2,048
//!   the same, to one address     a quarter of that
//!   begun, in the long run       a thirty-second of that in a second, after a burst of a half
//! ```
//!
//! TCP connections that are closed count no longer, but stay for half a minute. So the worst peer
//! has `1 + 1/2 + 30/32` = 2.4 of its share at a time, that is less than a sixth of the table, and
//! `2.4 / 4` of 2,048 = 1,250 of some 47,000 ports to one destination. What is beyond is refused:
//! the peer is told "prohibited".

use mayfly_sys::nft::{Most, Quota, Subject};

/// Of the table, and at the most, for one peer.
const PART: u32 = 16;
const MOST: u32 = 2048;
/// Of that, for one destination.
const PART_TO_ONE: u32 = 4;
/// Of that, in a second, and at once.
const PART_A_SECOND: u32 = 32;
const PART_AT_ONCE: u32 = 2;
/// As many inner addresses as a family can have: three pools of 65,534.
const SUBJECTS: u32 = 3 << 16;

/// The quotas of a node.
pub(super) struct Shares {
    /// Connections in the table.
    pub table: u32,
}

impl Shares {
    /// What a peer may begin: in both families, everything and to one destination. The cheapest
    /// comes first.
    pub(super) fn of_peers(&self) -> Vec<Quota> {
        let open = self.open();
        let new = Most::New {
            per_second: open / PART_A_SECOND,
            burst: open / PART_AT_ONCE,
        };
        let to_one = Most::Open(open / PART_TO_ONE);
        let open = Most::Open(open);
        let quota = |set, subject, subjects, most| Quota {
            set,
            subject,
            subjects,
            most,
        };
        vec![
            quota("new4", Subject::SourceV4, SUBJECTS, new),
            quota("new6", Subject::SourceV6, SUBJECTS, new),
            quota("open4", Subject::SourceV4, SUBJECTS, open),
            quota("open6", Subject::SourceV6, SUBJECTS, open),
            quota("pairs4", Subject::PairV4, self.table, to_one),
            quota("pairs6", Subject::PairV6, self.table, to_one),
        ]
    }

    /// What strangers may begin to a peer that has a public address: as much as the peer itself.
    pub(super) fn to_public(&self) -> Quota {
        Quota {
            set: "public4",
            subject: Subject::DestinationV4,
            subjects: SUBJECTS,
            most: Most::Open(self.open()),
        }
    }

    /// Connections that one peer may have open.
    fn open(&self) -> u32 {
        (self.table / PART).clamp(PART_A_SECOND, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_follows_the_table_up_to_a_bound() {
        let open = |table| Shares { table }.of_peers()[2].most;
        assert_eq!(open(8_192), Most::Open(512));
        assert_eq!(open(65_536), Most::Open(2_048));
        assert_eq!(open(1 << 21), Most::Open(2_048));
        // A table that nobody has still gives each peer a connection at a time.
        assert_eq!(open(0), Most::Open(PART_A_SECOND));
    }
}
