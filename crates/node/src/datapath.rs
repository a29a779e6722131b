//! The threads that carry packets and answer handshakes.
//!
//! ```text
//!   packet threads    one for each processor; wait for datagrams, frames, commands, replies, time
//!     UDP  -> trains of datagrams -> Tunnel -> Outbox -> frames to the TUN, trains to UDP
//!     TUN  -> frames              -> Tunnel -> Outbox -> trains to UDP
//!     Commands -> Tunnel -> Notice (a channel), inner addresses to the janitor
//!   handshake thread  waits for jobs and time
//!     HandshakeJobs (initiations, peers that come and go) -> Responder
//!       -> HandshakeReplies to the packet threads, cookies to UDP
//! ```
//!
//! Each packet thread has its own socket, TUN queue and tunnel, and a peer belongs to one of them.
//! The kernel brings a packet to that thread: it steers a datagram by its receiver index, and takes
//! for a frame the queue that its flow was last written to. A packet that comes to another thread
//! is handed over (see [`handoff`]). Otherwise no packet crosses a thread, except an initiation,
//! which comes back as a response with its keys. The control thread learns that a session began or
//! ended, by the id of its enrolment, and nothing else.

mod handoff;
mod handshakes;
mod members;
mod messages;
mod packets;
mod queue;
mod scrub_timer;

use mayfly_sys::udp::{Outgoing, SendBatch, Udp};
use mayfly_tunnel::Outbox;

pub(crate) use handoff::{HandoffMemory, HandoffQueue};
pub(crate) use handshakes::Handshakes;
pub(crate) use members::Members;
pub(crate) use messages::{
    Command, CommandQueue, Commands, HandshakeJobs, HandshakeReplies, Notice,
};
pub(crate) use packets::{Descriptors, Packets};

use crate::enrolment::EnrolmentId;

/// The tunnel of a packet thread, which knows each peer by its enrolment.
pub(crate) type Tunnel = mayfly_tunnel::Tunnel<EnrolmentId>;
/// The responder of the handshake thread.
pub(crate) type Responder = mayfly_tunnel::Responder<EnrolmentId>;

/// Sends the datagrams of an outbox.
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
