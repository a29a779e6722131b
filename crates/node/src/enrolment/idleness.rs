//! How long an enrolment has been idle, as coarsely as will do.

/// Hours of idleness that are told apart. An enrolment that has been idle for longer says only that.
const LONG: u8 = 2;

/// What an enrolment says about its use. When a pool is full, those go that have been idle for
/// longest. A time would serve for that, but it would say when a client was last here. So there are
/// only:
///
/// - whether the client has connected since it enrolled;
/// - how many hours of the node (counted from its boot) have begun since it enrolled or was last
///   connected: none, one, or more. After two hours at most, a client that was here today cannot be
///   told from one that was here yesterday.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Idleness {
    has_connected: bool,
    hours: u8,
}

impl Idleness {
    /// The client is connected.
    pub(super) fn connected(&mut self) {
        *self = Self {
            has_connected: true,
            hours: 0,
        };
    }

    /// The client has shown that it is there: it was connected until now, or has renewed.
    pub(super) fn was_here(&mut self) {
        self.hours = 0;
    }

    /// An hour of the node has begun.
    pub(super) fn handle_hour(&mut self) {
        self.hours = (self.hours + 1).min(LONG);
    }

    /// Whether the client has never connected.
    pub(super) fn has_never_connected(self) -> bool {
        !self.has_connected
    }

    /// Whether the client has not been connected for an hour at least.
    pub(super) fn is_long(self) -> bool {
        self.hours == LONG
    }

    /// The hours that are told apart.
    pub(super) fn hours(self) -> u8 {
        self.hours
    }
}
