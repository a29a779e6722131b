//! A table as one batch of netlink messages (linux/netfilter/nfnetlink.h).

use super::attribute::Attributes;
use super::{Chain, Hook, Kind, Policy, Rule, Table, expression};

/// NFNL_MSG_BATCH_BEGIN and _END
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// NFNL_SUBSYS_NFTABLES
const SUBSYSTEM: u16 = 10;
/// NFT_MSG_*
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
/// NFPROTO_INET
const INET: u8 = 1;

/// Messages that the kernel carries out together or not at all.
pub struct Batch {
    pub bytes: Vec<u8>,
    /// Messages that the kernel answers one by one, numbered from 1.
    pub answers: u32,
}

/// Removes what has the table's name, then makes it.
pub fn replace(table: &Table) -> Batch {
    let mut batch = Batch {
        bytes: Vec::new(),
        answers: 0,
    };
    let named = || Attributes::new().text(1, table.name);
    batch.bracket(BATCH_BEGIN);
    // Making it first lets the removal succeed where there was none.
    batch.ask(NEW_TABLE, libc::NLM_F_CREATE, named());
    batch.ask(DELETE_TABLE, 0, named());
    batch.ask(NEW_TABLE, libc::NLM_F_CREATE, named());
    for chain in &table.chains {
        batch.ask(NEW_CHAIN, libc::NLM_F_CREATE, base_chain(table, chain));
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
            batch.ask(NEW_RULE, flags, in_chain(table, chain, rule));
        }
    }
    batch.bracket(BATCH_END);
    batch
}

fn base_chain(table: &Table, chain: &Chain) -> Attributes {
    let hook = match chain.hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
    };
    let policy = match chain.policy {
        Policy::Drop => 0,
        Policy::Accept => 1,
    };
    let kind = match chain.kind {
        Kind::Filter => "filter",
        Kind::Nat => "nat",
    };
    let place = Attributes::new()
        .number(1, hook)
        .number(2, chain.priority.cast_unsigned());
    Attributes::new()
        .text(1, table.name)
        .text(3, chain.name)
        .nested(4, place)
        .number(5, policy)
        .text(7, kind)
}

fn in_chain(table: &Table, chain: &Chain, rule: &Rule) -> Attributes {
    Attributes::new()
        .text(1, table.name)
        .text(2, chain.name)
        .nested(4, expression::of(rule))
}

impl Batch {
    fn bracket(&mut self, kind: u16) {
        // Its family is none, its resource the subsystem that the batch is for.
        self.message(kind, libc::NLM_F_REQUEST, 0, 0, SUBSYSTEM, &[]);
    }

    fn ask(&mut self, kind: u16, flags: libc::c_int, attributes: Attributes) {
        self.answers += 1;
        let kind = SUBSYSTEM << 8 | kind;
        let flags = flags | libc::NLM_F_REQUEST | libc::NLM_F_ACK;
        self.message(kind, flags, self.answers, INET, 0, &attributes.into_bytes());
    }

    /// nlmsghdr, nfgenmsg, attributes.
    fn message(
        &mut self,
        kind: u16,
        flags: libc::c_int,
        number: u32,
        family: u8,
        resource: u16,
        attributes: &[u8],
    ) {
        let length = (16 + 4 + attributes.len()) as u32;
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags as u16).to_ne_bytes());
        self.bytes.extend(number.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attributes);
    }
}
