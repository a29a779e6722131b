//! Both ends of the counter protocol talk to each other, without I/O.
//!
//! A node has two live sessions of one account, and one of them ends. What a connection would
//! carry goes from one end to the other by function calls, and time passes in ticks.
//!
//! ```text
//! cargo run -p mayfly-counter --example counter
//! ```

use std::io::{self, Write as _};
use std::time::Instant;

use mayfly_counter::constants::{RESTART_WINDOW, TICK};
use mayfly_counter::node::{Action, Reporter};
use mayfly_counter::service::{Ledgers, Output, StreamId};
use mayfly_wire::counter::NodeFrame;
use mayfly_wire::{TICKET_LEN, Ticket};

/// The account service knows accounts by what their tickets hold. Here that is one letter.
const ACCOUNT: char = 'a';
/// Enough of them for a hello, its welcome, a report and its verdict.
const TICKS: usize = 5;
/// Seconds since 1970, which the service tells the node.
const TIME: u64 = 1_800_000_000;

fn main() -> io::Result<()> {
    let start = Instant::now();
    let mut link = Link {
        // The caller names its sessions: here by text.
        reporter: Reporter::new([7; 32], start),
        ledgers: Ledgers::new(start),
        stream: None,
        // The service has run long enough to grant sessions that are new (rule 5).
        now: start + RESTART_WINDOW,
    };
    let ticket = Ticket([ACCOUNT as u8; TICKET_LEN]);

    link.run();
    link.say("connected")?;

    link.reporter.session_up("phone", ticket, link.now);
    link.reporter.session_up("laptop", ticket, link.now);
    link.run();
    link.say("two sessions began")?;

    link.reporter.session_down("phone", link.now);
    link.run();
    link.say("one session ended")
}

/// The two ends, and the connection between them.
struct Link {
    reporter: Reporter<&'static str>,
    ledgers: Ledgers<char>,
    stream: Option<StreamId>,
    now: Instant,
}

impl Link {
    /// Lets some ticks pass, and carries what the two ends send at each.
    fn run(&mut self) {
        for _ in 0..TICKS {
            self.reporter.handle_timeout(self.now);
            self.ledgers.handle_timeout(self.now);
            while self.drain_node() || self.drain_service() {}
            self.now += TICK;
        }
    }

    fn drain_node(&mut self) -> bool {
        let Some(action) = self.reporter.poll_action() else {
            return false;
        };
        match (action, self.stream) {
            (Action::Connect, _) => {
                self.stream = Some(self.ledgers.accept("node-1", self.now));
                self.reporter.handle_connected(self.now);
            }
            (Action::Send(frames), Some(stream)) => {
                self.ledgers.handle_message(stream, self.now);
                for frame in frames {
                    let account = account_of(frame);
                    self.ledgers
                        .handle_frame(stream, frame, account, TIME, self.now);
                }
            }
            // The rest is for a node that runs longer: its clock, draining, the end of sessions.
            _ => {}
        }
        true
    }

    fn drain_service(&mut self) -> bool {
        match self.ledgers.poll_output() {
            Some(Output::Send(_, frames)) => self.reporter.handle_message(&frames, self.now),
            Some(Output::Close(_, reason)) => {
                self.stream = None;
                let code = Some(reason.code());
                self.reporter.handle_disconnected(code, self.now);
            }
            None => return false,
        }
        true
    }

    fn say(&self, event: &str) -> io::Result<()> {
        let devices = self.ledgers.devices(&ACCOUNT);
        writeln!(io::stdout(), "{event}: devices is {devices}")
    }
}

/// Opens the ticket of a report, as the account service does with its ticket keys.
fn account_of(frame: NodeFrame) -> Option<char> {
    match frame {
        NodeFrame::Report { ticket, .. } => ticket.0.first().map(|&letter| letter.into()),
        _ => None,
    }
}
