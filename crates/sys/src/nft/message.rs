//! A table as one batch of netlink messages (linux/netfilter/nfnetlink.h).

use super::attribute::Attributes;
use super::kernel::{
    NF_ACCEPT, NF_DROP, NF_INET_FORWARD, NF_INET_LOCAL_IN, NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING,
    NF_INET_PRE_ROUTING, NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END, NFNL_SUBSYS_NFTABLES,
    NFPROTO_INET, NFT_MSG_DELTABLE, NFT_MSG_NEWCHAIN, NFT_MSG_NEWRULE, NFT_MSG_NEWSET,
    NFT_MSG_NEWTABLE, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE,
    NFTA_CHAIN_TYPE, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS,
    NFTA_RULE_TABLE, NFTA_TABLE_NAME,
};
use super::{Chain, Hook, Kind, Policy, Rule, Table, expression, quota};
use crate::netlink::Request;

/// Messages that the kernel carries out together or not at all.
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    /// How many of the messages the kernel answers. They are numbered from 1.
    pub(super) answers: u32,
}

/// Removes the table of that name, then makes it.
pub(super) fn replace(table: &Table) -> Batch {
    let mut batch = Batch {
        bytes: Vec::new(),
        answers: 0,
    };
    let named = || Attributes::new().text(NFTA_TABLE_NAME, table.name);
    batch.bracket(NFNL_MSG_BATCH_BEGIN);
    // The table is made first, so that its removal succeeds even if there was none.
    batch.ask(NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, named());
    batch.ask(NFT_MSG_DELTABLE, 0, named());
    batch.ask(NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, named());
    for (id, quota) in (1..).zip(quota::all(table)) {
        let flags = libc::NLM_F_CREATE;
        batch.ask(NFT_MSG_NEWSET, flags, quota::set(table, quota, id));
    }
    for chain in &table.chains {
        let flags = libc::NLM_F_CREATE;
        batch.ask(NFT_MSG_NEWCHAIN, flags, base_chain(table, chain));
    }
    for chain in &table.chains {
        for rule in &chain.rules {
            let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
            batch.ask(NFT_MSG_NEWRULE, flags, in_chain(table, chain, rule));
        }
    }
    batch.bracket(NFNL_MSG_BATCH_END);
    batch
}

fn base_chain(table: &Table, chain: &Chain) -> Attributes {
    let hook = match chain.hook {
        Hook::Prerouting => NF_INET_PRE_ROUTING,
        Hook::Input => NF_INET_LOCAL_IN,
        Hook::Forward => NF_INET_FORWARD,
        Hook::Output => NF_INET_LOCAL_OUT,
        Hook::Postrouting => NF_INET_POST_ROUTING,
    };
    let policy = match chain.policy {
        Policy::Drop => NF_DROP,
        Policy::Accept => NF_ACCEPT,
    };
    let kind = match chain.kind {
        Kind::Filter => "filter",
        Kind::Nat => "nat",
    };
    let place = Attributes::new()
        .number(NFTA_HOOK_HOOKNUM, hook)
        .number(NFTA_HOOK_PRIORITY, chain.priority.cast_unsigned());
    Attributes::new()
        .text(NFTA_CHAIN_TABLE, table.name)
        .text(NFTA_CHAIN_NAME, chain.name)
        .nested(NFTA_CHAIN_HOOK, place)
        .number(NFTA_CHAIN_POLICY, policy)
        .text(NFTA_CHAIN_TYPE, kind)
}

fn in_chain(table: &Table, chain: &Chain, rule: &Rule) -> Attributes {
    Attributes::new()
        .text(NFTA_RULE_TABLE, table.name)
        .text(NFTA_RULE_CHAIN, chain.name)
        .nested(NFTA_RULE_EXPRESSIONS, expression::of(rule))
}

impl Batch {
    /// The first or the last message of the batch. It has no family, and its resource is the
    /// subsystem that the batch is for.
    fn bracket(&mut self, kind: u16) {
        self.push(&Request {
            kind,
            flags: 0,
            number: 0,
            family: 0,
            resource: NFNL_SUBSYS_NFTABLES,
            attributes: &[],
        });
    }

    fn ask(&mut self, kind: u16, flags: libc::c_int, attributes: Attributes) {
        self.answers += 1;
        self.push(&Request {
            kind: NFNL_SUBSYS_NFTABLES << 8 | kind,
            flags: flags | libc::NLM_F_ACK,
            number: self.answers,
            family: NFPROTO_INET,
            resource: 0,
            attributes: &attributes.into_bytes(),
        });
    }

    fn push(&mut self, request: &Request<'_>) {
        self.bytes.extend(request.to_bytes());
    }
}
