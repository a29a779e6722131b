//! The enrolled peers: the table of them, the shard that each belongs to, and the wheel that says
//! whose session is due.

mod peer;
mod shard;
mod table;
mod wheel;

pub(crate) use peer::PeerName;
pub use peer::{NotAdded, PeerConfig, PeerHandle};
pub(crate) use shard::{AddressDirectory, Shard};
pub use shard::{MAX_SHARDS, SHARD_BYTE, SHARDED_KIND};
pub(crate) use table::{Live, Peers};
pub(crate) use wheel::Wheel;
