//! The program `mayfly-accounts`: reads its arguments and its configuration, and runs one
//! command. Everything else is in the library beside it.

use std::process::ExitCode;

use clap::Parser as _;
use mayfly_accounts::cli::{self, Cli, Command};
use mayfly_accounts::config::Config;
use mayfly_accounts::{StartError, start};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use zeroizing_alloc::ZeroAlloc;

/// Zeroes memory when it is freed: passwords and tickets pass through the buffers of HTTP and TLS.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "one line, to the operator who typed the command"
)]
fn tell(error: &StartError) {
    eprintln!("mayfly-accounts: {error}");
}

fn run(cli: &Cli) -> Result<(), StartError> {
    let config = Config::read(&cli.config)?;
    let runtime = Runtime::new().map_err(StartError::Listen)?;
    let done = runtime.block_on(async {
        match cli.command {
            Command::Serve => serve(&config).await,
            ref command => cli::run(command, &config).await,
        }
    });
    runtime.shutdown_background();
    done
}

async fn serve(config: &Config) -> Result<(), StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Listen)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Listen)?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    start::serve(config, start::bind(config).await?, stop).await
}
