//! `mayfly-node`: the daemon of a VPN server that cannot remember.
//!
//! ```text
//! settings -> acquire -> confine -> spawn -> seal -> run
//!
//! control thread   enrolment (HTTPS) ---> Registry --+--> Commands ---> packet threads
//!                  healthz (HTTP)                     |                  UDP <-> Tunnel <-> TUN
//!                  counter stream <---> Reporter <----+<--- Notices <--- session up, down
//!                                                                          Jobs | ^ Replies
//!                                                                               v |
//!                                                                        handshake thread
//! ```
//!
//! One thread for each processor carries packets, one thread answers handshakes, and the control
//! thread does the rest. No other thread is ever started. Another process, the [`janitor`], makes
//! the kernel forget the connections of peers that are gone.
//!
//! The control thread takes a client's request and enrols its key ([`enrolment`]). A command adds
//! the peer to its packet thread, whose tunnel reports when a session begins and ends. The control
//! thread ([`control`]) passes that to the counter, which sends +1 and -1 with a ticket to the
//! account service. The node sends nothing else about its users.
//!
//! What a node knows of a user is in RAM: an enrolment (key, pre-shared key, inner addresses,
//! ticket, end) until its token ends, and a session while it lives.
//!
//! The daemon does not log, write a file, look up a name, or answer a question about a peer.

mod accounts_link;
mod admission;
mod client_config;
mod clock;
mod control;
mod counter_stream;
mod datapath;
mod enrolment;
mod janitor;
mod node_keys;
mod refusal;
mod run;
mod serve;
mod stack;
mod start;
mod status;
mod tls;
mod token;

use std::alloc::System;
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
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

/// Zeroes memory when it is freed: keys, addresses and packets do not stay in free lists.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

/// The largest settings text in bytes: that of a bundle.
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
    /// A host that the machine booted from, which no peer may reach; may be given several times
    #[arg(long, value_name = "ADDRESS", hide = true)]
    boot_host: Vec<IpAddr>,
    /// Run as the daemon's janitor, which requires this Landlock ABI
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
    // The message of a panic could carry the data that caused it.
    panic::set_hook(Box::new(|_| ()));
    keep_small_blocks();
    // Before the process opens anything of its own.
    if let Err(failure) = close_inherited() {
        return report_failure(&StartError::from(failure).into());
    }
    match execute(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report_failure(&failure),
    }
}

/// Says why the daemon did not start. Once it is confined, it has no stderr.
fn report_failure(failure: &Failure) -> ExitCode {
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
    Ok(start::start(settings, &arguments.boot_host)?)
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
    /// An exit code of sysexits(3).
    fn exit_code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } | Self::Settings(_) => 78,
            Self::Start(error) => error.exit_code(),
            Self::Janitor(_) => 70,
        }
    }
}
