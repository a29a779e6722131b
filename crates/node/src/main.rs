//! `mayfly-node`: the daemon of a VPN server that cannot remember.
//!
//! ```text
//! settings -> acquire -> confine -> spawn -> seal -> run
//!
//! control thread   enrolment (HTTPS) ---> Registry --+--> Commands ---> packet threads
//!                  healthz (HTTP)                     |                  UDP <-> Tunnel <-> TUN
//!                  counter stream <---> Reporter <----+<--- Notices <--- session up, down
//!                                                                        Orders | ^ Answers
//!                                                                               v |
//!                                                                        handshake thread
//! ```
//!
//! A thread for each processor carries packets, one answers handshakes, one does the rest, and
//! no other is ever born. A process of its own, the [`janitor`], has the kernel forget the
//! connections of who is gone. What a node knows of a user is in RAM: an enrolment (key,
//! pre-shared key, inner addresses, ticket, end) until its token ends, and a session while it
//! lives. The only thing that it tells anybody is +1 and -1 with a ticket.
//!
//! What it does not do: log, write a file, look up a name, or answer a question about a peer.

mod admission;
mod clock;
mod control;
mod counter_stream;
mod datapath;
mod enrolment;
mod janitor;
mod offer;
mod refusal;
mod run;
mod serve;
mod service;
mod stack;
mod start;
mod status;
mod tls;
mod token;

use std::alloc::System;
use std::io::{self, Read as _, Write as _};
use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use mayfly_node::{firewall, lockdown, settings, syscalls};
use mayfly_sys::confine::close_inherited;
use mayfly_sys::heap::keep_small_blocks;
use zeroizing_alloc::ZeroAlloc;

use janitor::JanitorError;
use settings::{Settings, SettingsError};
use start::StartError;

/// What is freed is zeroed: keys, addresses and packets do not stay in free lists.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// The largest settings text, in bytes: that of a bundle.
const MAX_SETTINGS: u64 = mayfly_wire::bundle::MAX_BUNDLE as u64;

/// A node of Mayfly.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The settings file, or - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "janitor")]
    config: Option<PathBuf>,
    /// Check the settings and do nothing else
    #[arg(long)]
    check: bool,
    /// Be the daemon's janitor, under the Landlock ABI that it demands
    #[arg(long, value_name = "ABI", hide = true, conflicts_with = "config")]
    janitor: Option<u8>,
}

/// Why the daemon is not running.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{file}: {error}")]
    Unreadable { file: String, error: io::Error },
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Janitor(#[from] JanitorError),
}

fn main() -> ExitCode {
    // A message about a panic could carry what it was about.
    panic::set_hook(Box::new(|_| ()));
    keep_small_blocks();
    // Before anything of ours is open.
    if let Err(failure) = close_inherited() {
        return last_words(&StartError::from(failure).into());
    }
    match execute(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => last_words(&failure),
    }
}

/// Says why there was no start; once confined there is no stderr.
fn last_words(failure: &Failure) -> ExitCode {
    let _ = writeln!(io::stderr(), "mayfly-node: {failure}");
    ExitCode::from(failure.exit_code())
}

fn execute(arguments: &Arguments) -> Result<(), Failure> {
    if let Some(landlock_abi) = arguments.janitor {
        return Ok(janitor::run(landlock_abi)?);
    }
    let settings = read(arguments.config.as_deref().unwrap_or(Path::new("-")))?;
    if arguments.check {
        let (name, serial) = (settings.name.as_str(), settings.serial);
        let _ = writeln!(io::stdout(), "settings {serial} of {name} are good");
        return Ok(());
    }
    Ok(start::start(settings)?)
}

fn read(config: &Path) -> Result<Settings, Failure> {
    let (file, text) = if config.as_os_str() == "-" {
        ("standard input".to_owned(), read_all(io::stdin()))
    } else {
        let file = config.display().to_string();
        (file, std::fs::File::open(config).and_then(read_all))
    };
    match text {
        Ok(text) => Ok(Settings::parse(&file, &text)?),
        Err(error) => Err(Failure::Unreadable { file, error }),
    }
}

fn read_all(from: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(MAX_SETTINGS).read_to_string(&mut text)?;
    Ok(text)
}

impl Failure {
    /// sysexits(3)
    fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } | Self::Settings(_) => 78,
            Self::Start(error) => error.exit_code(),
            Self::Janitor(_) => 70,
        }
    }
}
