//! PID 1 of a node that dies: the shipped one, from the very same source, and beside it a process
//! that kills the daemon when it is told to. The audit boots it as `/init`, and looks at what of
//! the daemon's memory is left. It is shipped nowhere.
//!
//! A sealed node takes no orders. But the audit has the machine's RAM in a file: it finds a mark
//! in it, and overwrites what is behind the mark. So the daemon dies when its customers are
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

/// Between two looks whether it is time.
const LOOK: Duration = Duration::from_millis(100);
/// The mark, each byte inverted, so that this program does not have it as it is.
const PHRASE: [u8; 32] = *b"the daemon dies when this is set";
/// What is behind it until then.
const WAITING: u64 = 1;

/// In one page, so that it lies in RAM as it does here.
#[repr(C, align(64))]
struct Order {
    mark: [u8; 32],
    state: AtomicU64,
}

fn main() -> ExitCode {
    if env::args().nth(1).is_some() {
        await_order();
        // Everybody but PID 1 and the one who says so (kill(2)).
        let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
        return ExitCode::SUCCESS;
    }
    // Without it there is a node that lives on, which the audit notices.
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
