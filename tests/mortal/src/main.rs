//! PID 1 of a node that dies: the shipped one, from the very same source, and beside it a process
//! that kills the daemon after a while. The audit boots it as `/init`, and looks at what of the
//! daemon's memory is left. It is shipped nowhere.

#[path = "../../../initramfs/init/src/main.rs"]
mod init;

use std::env;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Time for a node to come up and for customers to connect.
const LIFE: Duration = Duration::from_secs(150);

fn main() -> ExitCode {
    if env::args().nth(1).is_some() {
        thread::sleep(LIFE);
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
