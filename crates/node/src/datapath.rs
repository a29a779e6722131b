//! The threads that carry packets and answer handshakes.
//!
//! ```text
//!   packet threads    one for each processor; wait for datagrams, frames, commands, answers, time
//!     UDP  -> trains of datagrams -> Tunnel -> Outbox -> frames to the TUN, trains to UDP
//!     TUN  -> frames              -> Tunnel -> Outbox -> trains to UDP
//!     Commands -> Tunnel -> Notice (a channel), inner addresses to the janitor
//!   handshake thread  waits for orders and time
//!     Orders (initiations, peers that come and go) -> Responder -> Answers, cookies to UDP
//! ```
//!
//! A peer belongs to one packet thread, with a socket, a TUN queue and a tunnel of its own. The
//! kernel brings a packet there: a datagram by its receiver index, a frame by the queue that its
//! flow was written to. What comes elsewhere is handed over (see `parcels`). Nothing else of a
//! packet crosses a thread; an initiation does, and comes back as a response with its keys. What
//! comes back to the control thread is that a session began or ended, by the number of its
//! enrolment, and nothing else.

mod handshakes;
mod members;
mod messages;
mod packets;
mod parcels;
mod queue;
mod residue;

use mayfly_sys::udp::{Outgoing, SendBatch, Udp};
use mayfly_tunnel::Outbox;

pub use handshakes::Handshakes;
pub use members::Members;
pub use messages::{Answers, Command, CommandQueue, Commands, Notice, Orders};
pub use packets::{Descriptors, Packets};
pub use parcels::Inbox;

use crate::enrolment::EnrolmentId;

/// The tunnel of a packet thread, which knows each peer by its enrolment.
pub type Tunnel = mayfly_tunnel::Tunnel<EnrolmentId>;
/// The responder of the handshake thread.
pub type Responder = mayfly_tunnel::Responder<EnrolmentId>;

/// Sends an outbox's datagrams.
fn send(udp: &Udp, batch: &mut SendBatch, outbox: &Outbox) {
    let trains = outbox.trains().map(|train| Outgoing {
        remote: train.endpoint.remote,
        local: train.endpoint.local,
        ecn: train.ecn.bits(),
        segment: train.segment,
        bytes: train.bytes,
    });
    udp.send_batch(batch, trains);
}
