//! PID 1 of a node whose daemon dies: the shipped PID 1, built from the same source, and beside it
//! a process that kills the daemon when it is told to. The audit boots it as `/init` and checks
//! what is left of the daemon's memory. The program is never shipped.
//!
//! A sealed node takes no orders. But the audit has the machine's RAM in a file: it finds a mark
//! there, and overwrites what follows the mark. So the daemon dies when its customers are
//! connected, however long that takes.

#[path = "../../../initramfs/init/src/main.rs"]
mod init;

use std::env;
use std::hint;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The pause between two looks at the order.
const LOOK: Duration = Duration::from_millis(100);
/// The mark with each byte inverted, so that the mark itself is not in this program.
const PHRASE: [u8; 32] = *b"the daemon dies when this is set";
/// The state that follows the mark until the audit overwrites it.
const WAITING: u64 = 1;

/// Aligned so that it is in one page, and its parts lie in RAM as they do here.
#[repr(C, align(64))]
struct Order {
    mark: [u8; 32],
    state: AtomicU64,
}

fn main() -> ExitCode {
    if env::args().nth(1).is_some() {
        await_order();
        // Kills every process except PID 1 and this one (kill(2)).
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        return ExitCode::SUCCESS;
    }
    // If this fails, the daemon lives on, and the audit notices.
    let _ = Command::new("/init")
        .arg("kill")
        .env_clear()
        .stdin(Stdio::null())
        .spawn();
    init::main()
}

fn await_order() {
    let order = Box::new(Order {
        mark: hint::black_box(PHRASE).map(|byte| !byte),
        state: AtomicU64::new(WAITING),
    });
    while hint::black_box(&order).state.load(Ordering::Relaxed) == WAITING {
        thread::sleep(LOOK);
    }
}
