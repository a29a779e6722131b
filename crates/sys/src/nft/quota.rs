//! Quotas as sets whose elements are made by packets, each with an expression of its own.

use std::time::Duration;

use super::attribute::Attributes;
use super::kernel::*;
use super::{Match, Most, Quota, Subject, Table};

/// Numbers by which Debian's `nft` prints a key (its `enum datatypes`). A key of two has both, six
/// bits each. The kernel ignores them.
const IPV4_ADDRESS: u32 = 7;
const IPV6_ADDRESS: u32 = 8;
const TYPE_BITS: u32 = 6;

/// How long an address stays that has begun a connection, for [`Most::New`].
const REST: Duration = Duration::from_secs(30);

/// The quotas of a table, each once.
pub(super) fn all(table: &Table) -> Vec<&Quota> {
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    let mut quotas: Vec<&Quota> = Vec::new();
    for condition in rules.flat_map(|rule| &rule.when) {
        if let Match::Exceeds(quota) = condition
            && quotas.iter().all(|known| known.set != quota.set)
        {
            quotas.push(quota);
        }
    }
    quotas
}

/// The set of a quota. `id` distinguishes it from others in the batch.
pub(super) fn set(table: &Table, quota: &Quota, id: u32) -> Attributes {
    let (kind, bytes) = match quota.subject {
        Subject::SourceV4 | Subject::DestinationV4 => (IPV4_ADDRESS, 4),
        Subject::SourceV6 => (IPV6_ADDRESS, 16),
        Subject::PairV4 => (IPV4_ADDRESS << TYPE_BITS | IPV4_ADDRESS, 8),
        Subject::PairV6 => (IPV6_ADDRESS << TYPE_BITS | IPV6_ADDRESS, 32),
    };
    // The kernel looks through a set each second. Elements with a list of connections go when
    // their list is empty, and may have no time-out; others have nothing else.
    let flags = match quota.most {
        Most::Open(_) => NFT_SET_EVAL,
        Most::New { .. } => NFT_SET_EVAL | NFT_SET_TIMEOUT,
    };
    let size = Attributes::new().number(NFTA_SET_DESC_SIZE, quota.subjects);
    Attributes::new()
        .text(NFTA_SET_TABLE, table.name)
        .text(NFTA_SET_NAME, quota.set)
        .number(NFTA_SET_FLAGS, flags)
        .number(NFTA_SET_KEY_TYPE, kind)
        .number(NFTA_SET_KEY_LEN, bytes)
        .nested(NFTA_SET_DESC, size)
        .number(NFTA_SET_ID, id)
}

/// The expression that finds or makes the element whose key is in register 1, and goes on with the
/// rule if the element has more than the quota.
pub(super) fn dynset(quota: &Quota) -> Attributes {
    let place = Attributes::new()
        .text(NFTA_DYNSET_SET_NAME, quota.set)
        .number(NFTA_DYNSET_SREG_KEY, NFT_REG_1);
    match quota.most {
        Most::Open(count) => place
            .number(NFTA_DYNSET_OP, NFT_DYNSET_OP_ADD)
            .nested(NFTA_DYNSET_EXPR, over(count)),
        Most::New { per_second, burst } => place
            .number(NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE)
            .long(NFTA_DYNSET_TIMEOUT, REST.as_millis() as u64)
            .nested(NFTA_DYNSET_EXPR, faster(per_second, burst)),
    }
}

fn over(count: u32) -> Attributes {
    let limit = Attributes::new()
        .number(NFTA_CONNLIMIT_COUNT, count)
        .number(NFTA_CONNLIMIT_FLAGS, NFT_CONNLIMIT_F_INV);
    named("connlimit", limit)
}

fn faster(per_second: u32, burst: u32) -> Attributes {
    let limit = Attributes::new()
        .long(NFTA_LIMIT_RATE, per_second.into())
        .long(NFTA_LIMIT_UNIT, 1)
        .number(NFTA_LIMIT_BURST, burst)
        .number(NFTA_LIMIT_TYPE, NFT_LIMIT_PKTS)
        .number(NFTA_LIMIT_FLAGS, NFT_LIMIT_F_INV);
    named("limit", limit)
}

fn named(name: &str, data: Attributes) -> Attributes {
    Attributes::new()
        .text(NFTA_EXPR_NAME, name)
        .nested(NFTA_EXPR_DATA, data)
}
