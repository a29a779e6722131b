//! The numbers of the counter protocol. This is their only home in the code.
//!
//! "Rule N" is rule N of `crates/counter/PROTOCOL.md`.

use std::time::Duration;

/// Rule 8: each end sends this often, and at no other time.
pub const TICK: Duration = Duration::from_secs(1);
/// Rule 8: bytes of a message, of either end. With the headers of WebSocket, TLS, TCP and IPv6 it
/// fits into a packet of 1,280 bytes, which every path carries whole.
pub const MESSAGE_LEN: usize = 1024;
/// Rule 8: the most frames in a message, that is as many of the longest, a report, as fit. Someone
/// who watches cannot tell one session that comes or goes in a second from seven, or from none.
pub const MESSAGE_FRAMES: usize = 7;
/// Rule 8: the most messages of one end in a tick, 1 MiB of them. 65,000 sessions take ten ticks to
/// be replayed, a third of [`SYNC_WITHIN`].
pub const MESSAGES_A_TICK: usize = 1024;
/// Rule 8: a session that ended by silence is reported at a random one of the ticks in this time.
pub const SILENCE_TOLD_WITHIN: Duration = Duration::from_secs(30);
/// Rule 8: how long a stream's TLS keys are used.
pub const KEYS_LAST: Duration = Duration::from_secs(60);
/// The frame list: an end that has received nothing for this long takes its stream for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);
/// Rule 3: how many devices of an account may count at the same time.
pub const MAX_DEVICES: u8 = 4;
/// Rule 4: how long a node's credit lasts without a stream.
pub const GRACE: Duration = Duration::from_secs(30);
/// Rules 4 and 9: how long a stream may say nothing of its replay, from its acceptance to its
/// `hello`, and from its `welcome` to `synced`.
pub const SYNC_WITHIN: Duration = Duration::from_secs(30);
/// Rule 9: how long a replay may take in all.
pub const SYNC_AT_MOST: Duration = Duration::from_secs(300);
/// Rule 9: how many nodes may replay at the same time. That many full nodes have 4.2 million
/// sessions, which a service that takes 20,000 reports a second has counted before
/// [`SYNC_AT_MOST`]; and a thousand nodes with little to say, two or three ticks each, are all
/// taken up within a minute.
pub const REPLAYS_AT_A_TIME: usize = 64;
/// Rule 4: the longest pause between two attempts to connect.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(5);
/// Rule 5: how long after its start the service grants only what nodes replay.
pub const RESTART_WINDOW: Duration = Duration::from_secs(30);
/// Rule 9: how long that may go on while nodes wait for their `welcome`.
pub const RESTART_AT_MOST: Duration = Duration::from_secs(300);
/// Rule 6: the time from a denied +1 to the next ask.
pub const RETRY: Duration = Duration::from_secs(10);
/// Rule 6: an ask that is sent this long after the first denial is the last one.
pub const FINAL_AFTER: Duration = Duration::from_secs(300);
/// Rule 6: how long the key of a finally denied session is refused.
pub const KEY_REFUSED_FOR: Duration = Duration::from_secs(600);
/// Rule 7: a session outlives its token until the service has been in reach for this long, since
/// its client could not renew before. It is as long as a denied session has by rule 6.
pub const RENEWAL_GRACE: Duration = FINAL_AFTER;

/// Our own choice: the first pause between two attempts to connect. Each failure doubles it.
pub const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
/// Our own choice: how many replaced epochs of a node the service remembers. Each one is a boot
/// of the node, or a machine that was told to stay down. More than a few of them in one life of
/// the service are rare.
pub const REPLACED_EPOCHS: usize = 32;
