//! An attacker in the place of the node's processes: it takes their firewall and their confinement,
//! and then tries to leave something behind.
//!
//! ```text
//! attack matrix              every attempt in every confinement, whole and with one layer
//!                            left out: JSON. As root; in a network namespace of its own.
//! attack --config - ...      the same as /bin/mayfly-node of an attack image. The findings
//!                            are in marked pages of RAM, because there is no other way out.
//!                            If its settings ask for it, it writes under the shipped filter
//!                            instead.
//! attack try JAIL WALLS ATTEMPT DIRECTORY
//!                            one attempt, in a process that ends with its errno, or 0.
//! attack syscall-filter CALL PROGRAM...
//!                            runs a program for which the kernel refuses a call, like a kernel
//!                            that does not have it.
//! ```
//!
//! Each attempt runs in its own process: there is no way back out of a confinement, nor out of some
//! of the attempts. The filter refuses calls instead of killing. That is the only difference from
//! the shipped node, except where the shipped filter itself is tried. The program is never shipped.

mod attempts;
mod call;
mod jail;
mod marked;
mod matrix;
mod place;
mod scene;
mod trial;

use std::env;
use std::fs;
use std::hint::black_box;
use std::io;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use mayfly_sys::confine;

fn main() -> ExitCode {
    // The programs whose place it takes do so, too.
    confine::close_inherited().expect("descriptors can be closed");
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["try", jail, walls, attempt, directory] => trial::run(jail, walls, attempt, directory),
        ["matrix"] => {
            let findings = matrix::run(scene::Scene::host());
            serde_json::to_writer_pretty(io::stdout(), &findings).expect("stdout takes it");
            println!();
            ExitCode::SUCCESS
        }
        ["--config", "-", ..] => in_the_image(),
        ["syscall-filter", call, program @ ..] => trial::without_call(call, program),
        // The attempt "execute" starts the program without arguments.
        [] => ExitCode::SUCCESS,
        _ => panic!("see the top of main.rs for what can be asked"),
    }
}

/// The line of the settings that asks for one write, as the shipped node would make it.
const AS_SHIPPED: &str = "# attack: write under the shipped filter";
/// How long the marked page can be seen before the write.
const SEEN: Duration = Duration::from_secs(10);

/// Never returns: if the node ended, the machine would end.
fn in_the_image() -> ! {
    let settings = io::read_to_string(io::stdin()).expect("PID 1 sends settings");
    if settings.contains(AS_SHIPPED) {
        write_as_shipped();
    }
    let findings = matrix::run(scene::Scene::image());
    let pages = marked::pages(&serde_json::to_vec(&findings).expect("it is JSON"));
    stay(&pages)
}

/// Leaves a mark in RAM, and creates a file in the daemon's confinement. If the process survives,
/// the machine does, too.
fn write_as_shipped() -> ! {
    let pages = marked::pages(b"a write");
    thread::sleep(SEEN);
    jail::Jail::Daemon
        .lock_as_shipped()
        .expect("the confinement stands");
    black_box(&fs::write("/written", "a log"));
    stay(&pages)
}

fn stay(pages: &[u8]) -> ! {
    loop {
        black_box(pages);
        thread::park();
    }
}
