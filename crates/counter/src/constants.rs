//! The numbers of the protocol, from the design, and a few of our own.

use std::time::Duration;

/// "ping/pong every 10 s"
pub const PING_INTERVAL: Duration = Duration::from_secs(10);
/// "dead after 15 s"
pub const DEAD_AFTER: Duration = Duration::from_secs(15);
/// Rule 3: an account's devices.
pub const MOST_DEVICES: u8 = 4;
/// Rule 4: how long credit lives without a stream.
pub const GRACE: Duration = Duration::from_secs(30);
/// Rule 4: how long a stream may take until it is synced.
pub const SYNC_WITHIN: Duration = Duration::from_secs(30);
/// Rule 4: the longest pause between two attempts to connect.
pub const MOST_BACK_OFF: Duration = Duration::from_secs(5);
/// Rule 5: how long after its start the service grants only what is replayed.
pub const RESTART_WINDOW: Duration = Duration::from_secs(30);
/// Rule 6: how long until a denied +1 is asked again.
pub const RETRY: Duration = Duration::from_secs(10);
/// Rule 6: an ask sent so long after the first denial is the last.
pub const FINAL_AFTER: Duration = Duration::from_secs(300);
/// Rule 6: how long the key of a finally denied session is refused.
pub const KEY_REFUSED_FOR: Duration = Duration::from_secs(600);

/// Ours: the first pause between two attempts to connect; it doubles.
pub const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
/// Ours: how many replaced epochs of a node are remembered. Each is a boot, or a machine
/// that is told to stay down, so that more than a few in one life of the service is rare.
pub const REPLACED_EPOCHS: usize = 32;
