//! The kernel's names and numbers for what a ruleset is made of.
//!
//! From linux/netfilter/nf_tables.h where nothing else is said. Types of attributes are 16 bits
//! wide, as in their header. A value has the width in which the kernel takes it.

/// `enum nft_list_attributes`
pub(super) const NFTA_LIST_ELEM: u16 = 1;

/// `enum nft_table_attributes`
pub(super) const NFTA_TABLE_NAME: u16 = 1;

/// `enum nft_chain_attributes`
pub(super) const NFTA_CHAIN_TABLE: u16 = 1;
pub(super) const NFTA_CHAIN_NAME: u16 = 3;
pub(super) const NFTA_CHAIN_HOOK: u16 = 4;
pub(super) const NFTA_CHAIN_POLICY: u16 = 5;
pub(super) const NFTA_CHAIN_TYPE: u16 = 7;

/// `enum nft_hook_attributes`
pub(super) const NFTA_HOOK_HOOKNUM: u16 = 1;
pub(super) const NFTA_HOOK_PRIORITY: u16 = 2;

/// `enum nft_rule_attributes`
pub(super) const NFTA_RULE_TABLE: u16 = 1;
pub(super) const NFTA_RULE_CHAIN: u16 = 2;
pub(super) const NFTA_RULE_EXPRESSIONS: u16 = 4;

/// `enum nft_expr_attributes`
pub(super) const NFTA_EXPR_NAME: u16 = 1;
pub(super) const NFTA_EXPR_DATA: u16 = 2;

/// `enum nft_data_attributes`
pub(super) const NFTA_DATA_VALUE: u16 = 1;
pub(super) const NFTA_DATA_VERDICT: u16 = 2;

/// `enum nft_verdict_attributes`
pub(super) const NFTA_VERDICT_CODE: u16 = 1;

/// `enum nft_immediate_attributes`
pub(super) const NFTA_IMMEDIATE_DREG: u16 = 1;
pub(super) const NFTA_IMMEDIATE_DATA: u16 = 2;

/// `enum nft_bitwise_attributes`
pub(super) const NFTA_BITWISE_SREG: u16 = 1;
pub(super) const NFTA_BITWISE_DREG: u16 = 2;
pub(super) const NFTA_BITWISE_LEN: u16 = 3;
pub(super) const NFTA_BITWISE_MASK: u16 = 4;
pub(super) const NFTA_BITWISE_XOR: u16 = 5;

/// `enum nft_cmp_attributes`
pub(super) const NFTA_CMP_SREG: u16 = 1;
pub(super) const NFTA_CMP_OP: u16 = 2;
pub(super) const NFTA_CMP_DATA: u16 = 3;

/// `enum nft_payload_attributes`
pub(super) const NFTA_PAYLOAD_DREG: u16 = 1;
pub(super) const NFTA_PAYLOAD_BASE: u16 = 2;
pub(super) const NFTA_PAYLOAD_OFFSET: u16 = 3;
pub(super) const NFTA_PAYLOAD_LEN: u16 = 4;

/// `enum nft_meta_attributes`
pub(super) const NFTA_META_DREG: u16 = 1;
pub(super) const NFTA_META_KEY: u16 = 2;

/// `enum nft_ct_attributes`
pub(super) const NFTA_CT_DREG: u16 = 1;
pub(super) const NFTA_CT_KEY: u16 = 2;

/// `enum nft_fib_attributes`
pub(super) const NFTA_FIB_DREG: u16 = 1;
pub(super) const NFTA_FIB_RESULT: u16 = 2;
pub(super) const NFTA_FIB_FLAGS: u16 = 3;

/// `enum nft_reject_attributes`
pub(super) const NFTA_REJECT_TYPE: u16 = 1;
pub(super) const NFTA_REJECT_ICMP_CODE: u16 = 2;

/// `enum nft_nat_attributes`
pub(super) const NFTA_NAT_TYPE: u16 = 1;
pub(super) const NFTA_NAT_FAMILY: u16 = 2;
pub(super) const NFTA_NAT_REG_ADDR_MIN: u16 = 3;
pub(super) const NFTA_NAT_REG_ADDR_MAX: u16 = 4;
pub(super) const NFTA_NAT_REG_PROTO_MIN: u16 = 5;
pub(super) const NFTA_NAT_REG_PROTO_MAX: u16 = 6;
pub(super) const NFTA_NAT_FLAGS: u16 = 7;

/// `enum nft_set_attributes`, `enum nft_set_desc_attributes`
pub(super) const NFTA_SET_TABLE: u16 = 1;
pub(super) const NFTA_SET_NAME: u16 = 2;
pub(super) const NFTA_SET_FLAGS: u16 = 3;
pub(super) const NFTA_SET_KEY_TYPE: u16 = 4;
pub(super) const NFTA_SET_KEY_LEN: u16 = 5;
pub(super) const NFTA_SET_DESC: u16 = 9;
pub(super) const NFTA_SET_ID: u16 = 10;
pub(super) const NFTA_SET_DESC_SIZE: u16 = 1;

/// `enum nft_dynset_attributes`
pub(super) const NFTA_DYNSET_SET_NAME: u16 = 1;
pub(super) const NFTA_DYNSET_OP: u16 = 3;
pub(super) const NFTA_DYNSET_SREG_KEY: u16 = 4;
pub(super) const NFTA_DYNSET_TIMEOUT: u16 = 6;
pub(super) const NFTA_DYNSET_EXPR: u16 = 7;

/// `enum nft_connlimit_attributes`
pub(super) const NFTA_CONNLIMIT_COUNT: u16 = 1;
pub(super) const NFTA_CONNLIMIT_FLAGS: u16 = 2;

/// `enum nft_limit_attributes`
pub(super) const NFTA_LIMIT_RATE: u16 = 1;
pub(super) const NFTA_LIMIT_UNIT: u16 = 2;
pub(super) const NFTA_LIMIT_BURST: u16 = 3;
pub(super) const NFTA_LIMIT_TYPE: u16 = 4;
pub(super) const NFTA_LIMIT_FLAGS: u16 = 5;

/// `enum nft_masq_attributes`
pub(super) const NFTA_MASQ_FLAGS: u16 = 1;
pub(super) const NFTA_MASQ_REG_PROTO_MIN: u16 = 2;
pub(super) const NFTA_MASQ_REG_PROTO_MAX: u16 = 3;

/// linux/netfilter/nfnetlink.h
pub(super) const NFNL_SUBSYS_NFTABLES: u16 = 10;
pub(super) const NFNL_MSG_BATCH_BEGIN: u16 = 0x10;
pub(super) const NFNL_MSG_BATCH_END: u16 = 0x11;

/// `enum nf_tables_msg_types`
pub(super) const NFT_MSG_NEWTABLE: u16 = 0;
pub(super) const NFT_MSG_DELTABLE: u16 = 2;
pub(super) const NFT_MSG_NEWCHAIN: u16 = 3;
pub(super) const NFT_MSG_NEWRULE: u16 = 6;
pub(super) const NFT_MSG_NEWSET: u16 = 9;

/// linux/netfilter.h
pub(super) const NF_DROP: u32 = 0;
pub(super) const NF_ACCEPT: u32 = 1;
pub(super) const NFPROTO_INET: u8 = 1;
pub(super) const NFPROTO_IPV4: u8 = 2;
pub(super) const NFPROTO_IPV6: u8 = 10;
pub(super) const NF_INET_PRE_ROUTING: u32 = 0;
pub(super) const NF_INET_LOCAL_IN: u32 = 1;
pub(super) const NF_INET_FORWARD: u32 = 2;
pub(super) const NF_INET_LOCAL_OUT: u32 = 3;
pub(super) const NF_INET_POST_ROUTING: u32 = 4;

/// `enum nft_registers`: the verdict, and general registers of 16 bytes.
pub(super) const NFT_REG_VERDICT: u32 = 0;
pub(super) const NFT_REG_1: u32 = 1;
pub(super) const NFT_REG_2: u32 = 2;
pub(super) const NFT_REG_3: u32 = 3;
/// The second four bytes of `NFT_REG_1`.
pub(super) const NFT_REG32_01: u32 = 9;

/// `enum nft_meta_keys`
pub(super) const NFT_META_IIFNAME: u32 = 6;
pub(super) const NFT_META_OIFNAME: u32 = 7;
pub(super) const NFT_META_NFPROTO: u32 = 15;
pub(super) const NFT_META_L4PROTO: u32 = 16;

/// `enum nft_payload_bases`
pub(super) const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
pub(super) const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;

/// `enum nft_cmp_ops`
pub(super) const NFT_CMP_EQ: u32 = 0;
pub(super) const NFT_CMP_NEQ: u32 = 1;
pub(super) const NFT_CMP_LTE: u32 = 3;
pub(super) const NFT_CMP_GTE: u32 = 5;

/// `enum nft_set_flags`
pub(super) const NFT_SET_TIMEOUT: u32 = 0x10;
pub(super) const NFT_SET_EVAL: u32 = 0x20;

/// `enum nft_dynset_ops`, `enum nft_connlimit_flags`, `enum nft_limit_type`,
/// `enum nft_limit_flags`
pub(super) const NFT_DYNSET_OP_ADD: u32 = 0;
pub(super) const NFT_DYNSET_OP_UPDATE: u32 = 1;
pub(super) const NFT_CONNLIMIT_F_INV: u32 = 1;
pub(super) const NFT_LIMIT_PKTS: u32 = 0;
pub(super) const NFT_LIMIT_F_INV: u32 = 1;

/// `enum nft_ct_keys`
pub(super) const NFT_CT_STATE: u32 = 0;
pub(super) const NFT_CT_STATUS: u32 = 2;
/// linux/netfilter/nf_conntrack_common.h: `NF_CT_STATE_BIT` of states, and `enum ip_conntrack_status`.
pub(super) const NF_CT_STATE_INVALID: u32 = 1 << 0;
pub(super) const NF_CT_STATE_ESTABLISHED: u32 = 1 << 1;
pub(super) const NF_CT_STATE_RELATED: u32 = 1 << 2;
pub(super) const IPS_CONFIRMED: u32 = 1 << 3;

/// `enum nft_fib_result`, `enum nft_fib_flags`
pub(super) const NFT_FIB_RESULT_ADDRTYPE: u32 = 3;
pub(super) const NFTA_FIB_F_DADDR: u32 = 1 << 1;
/// linux/rtnetlink.h: an address of this machine.
pub(super) const RTN_LOCAL: u32 = 2;

/// `enum nft_reject_types`, `enum nft_reject_inet_code`
pub(super) const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
pub(super) const NFT_REJECT_ICMPX_ADMIN_PROHIBITED: u8 = 3;

/// `enum nft_nat_types`
pub(super) const NFT_NAT_SNAT: u32 = 0;
pub(super) const NFT_NAT_DNAT: u32 = 1;
/// linux/netfilter/nf_nat.h
pub(super) const NF_NAT_RANGE_PROTO_SPECIFIED: u32 = 1 << 1;
pub(super) const NF_NAT_RANGE_NETMAP: u32 = 1 << 6;
