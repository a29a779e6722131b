//! The enrolled peers: who is one, which tunnel each belongs to, and whose session is due.

mod peer;
mod shard;
mod table;
mod wheel;

pub use peer::{AddressTaken, PeerConfig, PeerId};
pub(crate) use peer::{Peer, PeerName};
pub(crate) use shard::{AddressDirectory, Shard};
pub use shard::{MAX_SHARDS, SHARD_BYTE, SHARDED_KIND};
pub(crate) use table::Peers;
pub(crate) use wheel::Wheel;
