//! Sends a batch to the kernel and reads its answers.

use std::io;

use nix::sys::socket::{setsockopt, sockopt};

use super::message::Batch;
use crate::netlink::{open, receive, send, split, verdict};

/// Room for the answers, which come all together.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Sends a batch and reads an answer to each of its messages.
pub(super) fn transact(batch: &Batch) -> io::Result<()> {
    let socket = open()?;
    setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER)?;
    send(&socket, &batch.bytes)?;

    let mut room = vec![0; 64 * 1024];
    let mut answered = 0;
    while answered < batch.answers {
        let mut answers = receive(&socket, &mut room)?;
        while let Some((answer, rest)) = split(answers) {
            answered += 1;
            verdict(answer)?;
            answers = rest;
        }
    }
    Ok(())
}
