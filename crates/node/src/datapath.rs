//! The threads that carry packets and answer handshakes.
//!
//! ```text
//!   packet thread     waits for datagrams, frames, commands, answers and time
//!     UDP  -> trains of datagrams -> Tunnel -> Outbox -> frames to the TUN, trains to UDP
//!     TUN  -> frames              -> Tunnel -> Outbox -> trains to UDP
//!     Commands -> Tunnel -> Notice (a channel), inner addresses to the janitor
//!   handshake thread  waits for orders and time
//!     Orders (initiations, peers that come and go) -> Responder -> Answers, cookies to UDP
//! ```
//!
//! No packet crosses a thread; an initiation does, and comes back as a response with its keys.
//! What comes back to the control thread is that a session began or ended, by the number of its
//! enrolment, and nothing else.

mod handshakes;
mod messages;
mod packets;
mod queue;

use std::time::{Duration, Instant};

use nix::sys::epoll::EpollTimeout;

use mayfly_sys::udp::{Outgoing, SendBatch, Udp};
use mayfly_tunnel::Outbox;

pub use handshakes::Handshakes;
pub use messages::{Answers, Command, Commands, Notice, Orders};
pub use packets::{Descriptors, Packets};

/// Until a deadline, rounded up: waking early is a busy loop.
fn patience(deadline: Option<Instant>) -> EpollTimeout {
    let Some(deadline) = deadline else {
        return EpollTimeout::NONE;
    };
    let patience = deadline.saturating_duration_since(Instant::now());
    EpollTimeout::try_from(patience + Duration::from_millis(1)).unwrap_or(EpollTimeout::MAX)
}

/// Sends an outbox's datagrams.
fn send(udp: &Udp, batch: &mut SendBatch, outbox: &Outbox) {
    let trains = outbox.trains().map(|train| Outgoing {
        remote: train.path.remote,
        local: train.path.local,
        segment: train.segment,
        bytes: train.bytes,
    });
    udp.send_batch(batch, trains);
}
